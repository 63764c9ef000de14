//! Texts, cut to what there is room for. No I/O.

/// Cuts `text` to at most `limit` bytes, at a character.
pub fn truncate(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The beginning of what somebody else has said: on one line, without control characters, in at most `limit` bytes.
pub fn one_line(text: &str, limit: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    truncate(&line, limit).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(truncate("aé", 2), "a");
        assert_eq!(truncate("aé", 3), "aé");
    }

    #[test]
    fn what_others_say_is_told_on_one_line() {
        assert_eq!(one_line(" a\n\tb\u{7} c ", 10), "a b c");
        assert_eq!(one_line("a b c", 3), "a b");
    }
}
