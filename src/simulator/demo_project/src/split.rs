//! Dividing an amount among people.

use crate::Cents;

/// The shares of `people` in `total`, in their order.
/// Cents that do not divide evenly are dropped.
pub fn split(total: Cents, people: usize) -> Vec<Cents> {
    let share = total.checked_div(people as Cents).unwrap_or(0);
    vec![share; people]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_amount_gives_equal_shares() {
        assert_eq!(split(9000, 3), [3000, 3000, 3000]);
    }

    #[test]
    fn a_refund_is_split_like_an_expense() {
        assert_eq!(split(-9000, 3), [-3000, -3000, -3000]);
    }
}
