//! Words that say nothing about a place in code, in any project: English's most common ones, and those of issues.

use std::collections::HashSet;
use std::sync::LazyLock;

const COMMON: &str = "
    about above actual actually after again all allow allows already also although always am an and
    another any are as at avoid be because been before behavior behaviour being below better between
    both bug bugs but by can cannot case cases cause caused causes change changed changes close closes
    correct correctly could currently describe did do does doesn doing don done due during each either
    etc even ever every example expected few fix fixed fixes fixing following for from further get gets
    getting give given gives got had handle happen happens has have having he hence here how however if
    in incorrect incorrectly instead into is isn issue issues it its itself just know let like ll made
    make makes making may maybe me might more most much must my need needed needs never no not now of
    off ok on once one only onto or other others otherwise our out over own please possible pr previous
    previously problem properly rather re really related reproduce resolve resolves same see seems
    should shouldn similar since so some something steps still such sure than that the their them then
    there therefore these they thing things this those though through thus to too try trying two under
    unless until up us use used uses using ve very via want was wasn way we well were what when where
    whether which while who why will with within without won work working works would wrong yes you your
";

/// Whether a word, in lower case, says nothing.
pub(super) fn is_common(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON.split_whitespace().collect());
    WORDS.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_issue_say_nothing_and_names_do() {
        assert!(is_common("the") && is_common("bug") && is_common("your"));
        assert!(!is_common("cents") && !is_common(""));
    }
}
