//! Who owes how much.

use std::collections::BTreeMap;

use crate::{split, Cents};

/// The balances of a group: positive is owed to a person, negative is owed by one.
#[derive(Debug, Default)]
pub struct Ledger {
    balances: BTreeMap<String, Cents>,
}

impl Ledger {
    /// Records that `payer` paid `amount` for `people`. An expense for nobody changes nothing.
    pub fn add_expense(&mut self, payer: &str, amount: Cents, people: &[&str]) {
        if people.is_empty() {
            return;
        }
        let shares = split(amount, people.len());
        // The cents that split() drops are the payer's own loss.
        let dropped = amount % people.len() as Cents;
        self.change(payer, amount - dropped);
        for (person, share) in people.iter().zip(shares) {
            self.change(person, -share);
        }
    }

    /// What each member would have to pay of `amount`. A group without members pays nothing.
    pub fn preview(&self, amount: Cents) -> Vec<Cents> {
        split(amount, self.balances.len())
    }

    pub fn balance_of(&self, person: &str) -> Cents {
        self.balances.get(person).copied().unwrap_or(0)
    }

    /// The sum of all balances.
    pub fn total(&self) -> Cents {
        self.balances.values().sum()
    }

    fn change(&mut self, person: &str, by: Cents) {
        *self.balances.entry(person.to_owned()).or_default() += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_owe_the_payer_their_shares() {
        let mut ledger = Ledger::default();
        ledger.add_expense("ada", 9000, &["ada", "bob", "cy"]);
        assert_eq!(ledger.balance_of("ada"), 6000);
        assert_eq!(ledger.balance_of("bob"), -3000);
    }

    #[test]
    fn balances_sum_to_zero_when_an_amount_does_not_divide() {
        let mut ledger = Ledger::default();
        ledger.add_expense("ada", 10_000, &["ada", "bob", "cy"]);
        ledger.add_expense("bob", 100, &["ada", "bob", "cy"]);
        assert_eq!(ledger.total(), 0, "a cent went missing");
    }
}
