//! The numbers that a condition compares its value with, for people to see. No I/O.
//!
//! `value >= 0.99` and `0.99 <= value` have one; of anything that is computed first nothing is said.

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Number(f64),
    Word(&'a str),
    Comparison,
    /// Two conditions in one, or a bracket: what stands beside it is whole.
    Border,
    Other,
}

/// The numbers that `value` is compared with, smallest first.
pub fn thresholds(expression: &str) -> Vec<f64> {
    let mut tokens = vec![Token::Border];
    tokens.extend(read(expression));
    tokens.push(Token::Border);
    let mut found: Vec<f64> = tokens.windows(5).filter_map(compared).collect();
    found.sort_by(f64::total_cmp);
    found.dedup();
    found
}

fn compared(of: &[Token<'_>]) -> Option<f64> {
    match of {
        [
            Token::Border,
            Token::Word("value"),
            Token::Comparison,
            Token::Number(number),
            Token::Border,
        ]
        | [
            Token::Border,
            Token::Number(number),
            Token::Comparison,
            Token::Word("value"),
            Token::Border,
        ] => Some(*number),
        _ => None,
    }
}

fn read(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_negative =
            first == '-' && !matches!(tokens.last(), Some(Token::Number(_) | Token::Word(_)));
        let digits = if is_negative {
            rest.get(1..).unwrap_or_default()
        } else {
            rest
        };
        let (token, length) = if digits.starts_with(|c: char| c.is_ascii_digit()) {
            let length = number(digits) + usize::from(is_negative);
            let text = rest.get(..length).unwrap_or_default();
            (text.parse().map_or(Token::Other, Token::Number), length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            (Token::Word(rest.get(..length).unwrap_or_default()), length)
        } else {
            sign(rest, first)
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    tokens
}

/// Length of the number at the beginning of a text.
fn number(text: &str) -> usize {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let whole = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let exponent = text.get(whole..).unwrap_or_default();
    let Some(power) = exponent.strip_prefix(['e', 'E']) else {
        return whole;
    };
    let digits = power.trim_start_matches(['+', '-']);
    let count = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    if count == 0 {
        return whole;
    }
    whole + 1 + (power.len() - digits.len()) + count
}

fn sign(rest: &str, first: char) -> (Token<'static>, usize) {
    for (text, token) in [
        ("<=", Token::Comparison),
        (">=", Token::Comparison),
        ("==", Token::Comparison),
        ("!=", Token::Comparison),
        ("<", Token::Comparison),
        (">", Token::Comparison),
        ("&&", Token::Border),
        ("||", Token::Border),
        ("(", Token::Border),
        (")", Token::Border),
        ("?", Token::Border),
        (":", Token::Border),
    ] {
        if rest.starts_with(text) {
            return (token, text.len());
        }
    }
    (Token::Other, first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_is_compared_with_is_found() {
        for (expression, wanted) in [
            ("value >= 0.99", &[0.99][..]),
            ("0.5<value", &[0.5]),
            ("value > 1 && value <= 3e2", &[1.0, 300.0]),
            ("value < -1.5 || value>1.5", &[-1.5, 1.5]),
            ("!(value == 0)", &[0.0]),
            ("isNaN(value) || value > 1", &[1.0]),
            ("value * 100.0 > 5.0", &[]),
            ("5.0 < value * 2.0", &[]),
            ("value > 1.0 + 2.0", &[]),
            ("value - 1.0 > 0.0", &[]),
            ("value in [1.0, 2.0]", &[]),
            ("value", &[]),
            ("", &[]),
            ("é > 1", &[]),
        ] {
            assert_eq!(thresholds(expression), wanted, "{expression}");
        }
    }
}
