//! What may be spent on models: amounts, where a limit comes from, and what people change for one task.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Money or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// Millionths of a US dollar.
    MicroUsd(u64),
    Tokens(u64),
}

/// Whose purse a limit is of. Days and months are UTC's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// One task, over all of its attempts and rounds.
    Task,
    /// All tasks of a repository since midnight.
    RepositoryDay,
    /// Everything since midnight.
    Day,
    /// Everything since the first of the month.
    Month,
}

/// What a person asks for with `/orchestrate budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how", content = "amount")]
pub enum BudgetChange {
    /// The task may spend this much in all.
    Set(Amount),
    /// The task may spend this much more.
    Add(Amount),
}

/// What people changed about a task's budget. Without changes the deployment's and the repository's limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskBudget {
    #[serde(default)]
    cost: Allowance,
    #[serde(default)]
    tokens: Allowance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Allowance {
    set: Option<u64>,
    added: u64,
}

/// Limits of one purse, in both units. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BudgetLimits {
    pub tokens: Option<u64>,
    pub cost_micro_usd: Option<u64>,
}

impl Amount {
    /// Reads `5`, `$5`, `5 USD`, `2.50`, `500000 tokens`, `500k tokens` or `2M tokens`. Nothing that is 0 or
    /// larger than a million dollars, or a million million tokens.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(number) = text.strip_suffix("tokens").or_else(|| text.strip_suffix("token")) {
            let number = number.trim();
            let (digits, times) = match number.chars().last()? {
                'k' => (&number[..number.len() - 1], 1_000),
                'm' => (&number[..number.len() - 1], 1_000_000),
                _ => (number, 1),
            };
            let tokens = decimal(digits, times)?;
            return (1..=1_000_000_000_000).contains(&tokens).then_some(Self::Tokens(tokens));
        }
        let number = text.strip_suffix("usd").unwrap_or(&text).trim();
        let number = number.strip_prefix('$').or_else(|| number.strip_suffix('$')).unwrap_or(number).trim();
        let micro = decimal(number, 1_000_000)?;
        (1..=1_000_000_000_000).contains(&micro).then_some(Self::MicroUsd(micro))
    }
}

/// A decimal number times `times`, exactly; digits that would be lost make it unreadable.
fn decimal(text: &str, times: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(times)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10_u64.checked_pow(fraction.len() as u32)?;
    let scaled = fraction.parse::<u64>().ok()?.checked_mul(times)?;
    (scaled % scale == 0).then(|| whole.checked_add(scaled / scale))?
}

impl Amount {
    /// Of amounts in the same unit; others cannot be compared, and are not less.
    pub fn is_less_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::MicroUsd(one), Self::MicroUsd(other)) | (Self::Tokens(one), Self::Tokens(other)) => {
                one < other
            }
            _ => false,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Rounded up: something is never shown as nothing.
            Self::MicroUsd(micro) => {
                let cents = micro.div_ceil(10_000);
                write!(f, "${}.{:02}", cents / 100, cents % 100)
            }
            Self::Tokens(1) => f.write_str("1 token"),
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
        }
    }
}

impl BudgetScope {
    /// As in "the budget of this task".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "of this task",
            Self::RepositoryDay => "of this repository for today",
            Self::Day => "of this deployment for today",
            Self::Month => "of this deployment for this month",
        }
    }
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl BudgetChange {
    /// Reads what follows the verb: an amount, or `+` and an amount.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().strip_prefix('+') {
            Some(more) => Amount::parse(more).map(Self::Add),
            None => Amount::parse(text).map(Self::Set),
        }
    }

    pub fn amount(self) -> Amount {
        match self {
            Self::Set(amount) | Self::Add(amount) => amount,
        }
    }
}

impl BudgetLimits {
    /// The limit in the unit of `amount`.
    pub fn in_unit_of(&self, amount: Amount) -> Option<Amount> {
        match amount {
            Amount::MicroUsd(_) => self.cost_micro_usd.map(Amount::MicroUsd),
            Amount::Tokens(_) => self.tokens.map(Amount::Tokens),
        }
    }
}

impl TaskBudget {
    #[must_use]
    pub fn changed(mut self, change: BudgetChange) -> Self {
        let (allowance, number) = match change.amount() {
            Amount::MicroUsd(micro) => (&mut self.cost, micro),
            Amount::Tokens(tokens) => (&mut self.tokens, tokens),
        };
        *allowance = match change {
            BudgetChange::Set(_) => Allowance { set: Some(number), added: 0 },
            BudgetChange::Add(_) => Allowance { added: allowance.added.saturating_add(number), ..*allowance },
        };
        self
    }

    /// The limits of the task, where `usual` would hold without changes, and nobody may go above `most`.
    pub fn limits(&self, usual: BudgetLimits, most: BudgetLimits) -> BudgetLimits {
        BudgetLimits {
            tokens: self.tokens.of(usual.tokens, most.tokens),
            cost_micro_usd: self.cost.of(usual.cost_micro_usd, most.cost_micro_usd),
        }
    }
}

impl Allowance {
    fn of(self, usual: Option<u64>, most: Option<u64>) -> Option<u64> {
        let changed = self.set.or(usual)?.saturating_add(self.added);
        Some(most.map_or(changed, |most| changed.min(most.max(usual.unwrap_or(0)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let usd = |micro| Some(Amount::MicroUsd(micro));
        let tokens = |tokens| Some(Amount::Tokens(tokens));
        let cases = [
            ("5", usd(5_000_000)),
            ("$5", usd(5_000_000)),
            ("5$", usd(5_000_000)),
            (" 2.50 USD ", usd(2_500_000)),
            ("0.000001", usd(1)),
            ("2000000 tokens", tokens(2_000_000)),
            ("500k tokens", tokens(500_000)),
            ("1.5M tokens", tokens(1_500_000)),
            ("1 token", tokens(1)),
        ];
        for (text, amount) in cases {
            assert_eq!(Amount::parse(text), amount, "{text}");
        }
        let unreadable = [
            "",
            "0",
            "-5",
            "five",
            "5,50",
            "1e9",
            "5 EUR",
            "tokens",
            "0 tokens",
            "1.5 tokens",
            "k tokens",
            "0.0000001",
            "99999999999999999999",
            "1000001",
            "$",
            "USD",
            "++5",
            "NaN",
            "५",
        ];
        for text in unreadable {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn changes_add_up_and_the_operator_has_the_last_word() {
        let usual = BudgetLimits { tokens: Some(1_000), cost_micro_usd: Some(10) };
        let most = BudgetLimits { tokens: Some(5_000), cost_micro_usd: Some(50) };
        let after = |changes: &[&str]| {
            let changes = changes.iter().map(|text| BudgetChange::parse(text).expect(text));
            changes.fold(TaskBudget::default(), TaskBudget::changed).limits(usual, most)
        };
        assert_eq!(after(&[]), usual);
        assert_eq!(after(&["0.00002"]).cost_micro_usd, Some(20));
        assert_eq!(after(&["+0.00002", "+0.000005"]).cost_micro_usd, Some(35));
        assert_eq!(after(&["+0.00002", "0.000004"]).cost_micro_usd, Some(4), "set is set, also to less");
        assert_eq!(after(&["3000 tokens"]), BudgetLimits { tokens: Some(3_000), ..usual });
        assert_eq!(after(&["9"]).cost_micro_usd, Some(50), "not above what the operator allows");
        let low = BudgetLimits { tokens: None, cost_micro_usd: Some(2) };
        let stays = TaskBudget::default().limits(usual, low);
        assert_eq!(stays, usual, "a ceiling below the usual limit takes nothing away from it");
    }

    #[test]
    fn something_is_never_shown_as_nothing() {
        let shown = |micro| Amount::MicroUsd(micro).to_string();
        assert_eq!([shown(0), shown(1), shown(12_340_000)], ["$0.00", "$0.01", "$12.34"]);
    }
}
