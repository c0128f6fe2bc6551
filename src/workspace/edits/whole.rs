//! A whole file in the place of another.

use super::elided;
use super::lines;
use super::places::Text;

/// The new bytes of a file that has some: its line endings, and the line feed at its end, are kept where the content
/// shows that its writer did not see them.
pub(super) fn content(before: &[u8], content: &str) -> Result<Vec<u8>, String> {
    let text = Text::new(before);
    for line in lines::split(content.as_bytes()) {
        elided::check_new_line(&text, &line)?;
    }
    let plain = !before.contains(&b'\r')
        && before.contains(&b'\n')
        && lines::only_windows_endings(content.as_bytes());
    let windows = lines::only_windows_endings(before) && !content.contains('\r');
    let mut content = match (windows, plain) {
        (true, _) => content.replace('\n', "\r\n"),
        (_, true) => content.replace("\r\n", "\n"),
        _ => content.to_owned(),
    };
    if before.ends_with(b"\n") && !content.is_empty() && !content.ends_with('\n') {
        content.push_str(if before.ends_with(b"\r\n") { "\r\n" } else { "\n" });
    }
    Ok(content.into_bytes())
}
