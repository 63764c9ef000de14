//! CEL over one number, safe against whoever writes it. No I/O.
//!
//! The CEL library recurses as deep as the expression is, and a stack overflow cannot be caught: it
//! would end the process. So expressions are short, not deep, and run on a thread with a large stack.

use cel::{Context, Program, Value};

/// Longest expression, in bytes; the CRD says the same.
const MAX_LENGTH: usize = 1024;
/// Deepest nesting of brackets.
const MAX_DEPTH: usize = 16;
/// Enough for the longest chain of operators that fits into the length, unoptimised, with room to spare.
const STACK: usize = 64 << 20;

/// Functions that loop. Nested, a few hundred characters of them run for years.
const LOOPS: &[&str] = &["all", "exists", "exists_one", "existsOne", "filter", "map"];

fn words(expression: &str) -> impl Iterator<Item = &str> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(move |c| !is_of_word(c))
}

/// Checks that an expression can be used. The error is for people.
pub fn check(expression: &str) -> Result<(), String> {
    evaluate(expression, 0.0).map(|_| ())
}

/// Whether the expression holds for `value`. The error is for people.
pub fn evaluate(expression: &str, value: f64) -> Result<bool, String> {
    if expression.len() > MAX_LENGTH {
        return Err(format!("longer than {MAX_LENGTH} characters"));
    }
    if depth(expression) > MAX_DEPTH {
        return Err(format!("brackets nested deeper than {MAX_DEPTH}"));
    }
    if let Some(name) = words(expression).find(|word| LOOPS.contains(word)) {
        return Err(format!(
            "{name}() is a loop, and there is nothing to loop over: compare `value`"
        ));
    }
    let expression = expression.to_owned();
    let run = move || evaluate_here(&expression, value);
    let thread = std::thread::Builder::new()
        .name("cel".into())
        .stack_size(STACK)
        .spawn(run);
    let thread = thread.map_err(|error| format!("no thread to evaluate it on: {error}"))?;
    thread
        .join()
        .unwrap_or_else(|_| Err("its evaluation failed unexpectedly".to_owned()))
}

fn evaluate_here(expression: &str, value: f64) -> Result<bool, String> {
    let program = Program::compile(expression).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    context.add_variable_from_value("value", Value::Float(value));
    match program.execute(&context) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("yields {}, not true or false", other.type_of())),
        Err(error) => Err(error.to_string()),
    }
}

fn depth(expression: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_with_whole_and_broken_numbers_hold() {
        assert_eq!(evaluate("value >= 0.99", 0.995), Ok(true));
        assert_eq!(evaluate("value >= 0.99", 0.5), Ok(false));
        assert_eq!(evaluate("value > 1", 2.0), Ok(true));
        assert_eq!(evaluate("value == 1", 1.0), Ok(true));
        assert_eq!(evaluate("value >= 1 && value <= 3", 2.0), Ok(true));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        assert!(check("value +").is_err());
        assert!(check("vlaue > 1").is_err());
        assert!(
            check("value * 2.0")
                .unwrap_err()
                .contains("not true or false")
        );
    }

    #[test]
    fn no_expression_can_run_for_ever() {
        let mut text = "value > 1.0".to_owned();
        for _ in 0..8 {
            text = format!("[1,1,1,1,1,1,1,1,1,1,1,1].all(x, {text})");
        }
        assert!(check(&text).unwrap_err().contains("loop"));
        assert_eq!(evaluate("value in [1.0, 2.0]", 2.0), Ok(true));
    }

    #[test]
    fn no_expression_can_end_the_process() {
        let deep = format!("{}value > 1{}", "(".repeat(400), ")".repeat(400));
        assert!(check(&deep).unwrap_err().contains("nested"));
        let nested = format!("{}value > 1.0{}", "(".repeat(16), ")".repeat(16));
        assert_eq!(evaluate(&nested, 2.0), Ok(true));
        let long = format!("value > 0.0{}", " + 1.0".repeat(165));
        assert!(long.len() <= MAX_LENGTH);
        let _ = check(&long);
        let negated = format!("{}(value > 1.0)", "!".repeat(1000));
        let _ = check(&negated);
        assert!(check(&"1+".repeat(600)).unwrap_err().contains("longer"));
    }
}
