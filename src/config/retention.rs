//! What is kept for some days only.

use super::error::ConfigError;
use super::file::Retention;
use super::resolve::Resolver;

/// Days for which what was said to models is kept. A hundred years stand for "for good".
pub(super) fn model_texts_days(r: &Resolver, file: &Retention) -> Result<u32, ConfigError> {
    r.number("retention.model_texts_days", file.model_texts_days, 30, 0..=36_500)
}
