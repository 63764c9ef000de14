//! CEL over what was measured, safe against whoever writes it. No I/O.
//!
//! The CEL library recurses as deep as the expression is, and a stack overflow cannot be caught: it would end the process.
//! So expressions are short, not deep, and run on a thread with a large stack. There is one such thread, which keeps what
//! it has compiled: a Rollout is looked at often, and its expressions hardly ever change.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::mpsc::{self, SyncSender};

use cel::extractors::Arguments;
use cel::{Context, ExecutionError, Program, Value};

/// Longest expression, in bytes; the CRD says the same.
const MAX_LENGTH: usize = 1024;
/// Deepest nesting of brackets.
const MAX_DEPTH: usize = 16;
/// Enough for the longest chain of operators that fits into the length, unoptimised, with room to spare.
const STACK: usize = 64 << 20;
/// Compiled expressions that are kept. When there are more, all of them are compiled again.
const MAX_KEPT: usize = 1024;
/// Questions that may wait.
const MAX_WAITING: usize = 64;

/// Functions that loop. Nested, a few hundred characters of them run for years.
const LOOPS: &[&str] = &["all", "exists", "exists_one", "existsOne", "filter", "map"];

/// What an expression may name.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// The number that was measured.
    pub value: f64,
}

impl Scope {
    /// The names of its fields.
    const NAMES: &'static [&'static str] = &["value"];
}

/// Numbers on which an expression is tried out: together they reach both sides of a condition.
const TRIALS: &[f64] = &[0.0, 1.0, -1.0, 1e9];

type Answer = Result<bool, String>;

/// A question to the thread that evaluates.
struct Question {
    expression: String,
    /// None: whether it can be used at all.
    scope: Option<Scope>,
    answer: SyncSender<Answer>,
}

/// The way to that thread, which is started when it is first needed; none if it could not be.
static EVALUATOR: LazyLock<Option<SyncSender<Question>>> = LazyLock::new(|| {
    let (sender, questions) = mpsc::sync_channel::<Question>(MAX_WAITING);
    let thread = std::thread::Builder::new()
        .name("cel".into())
        .stack_size(STACK);
    let started = thread.spawn(move || {
        let mut programs = Programs::new();
        for question in questions {
            let answer = programs.answer(&question.expression, question.scope.as_ref());
            // Nobody may be waiting any more.
            let _ = question.answer.send(answer);
        }
    });
    started.ok().map(|_| sender)
});

/// What evaluates.
struct Programs {
    /// What has been compiled, by its text; or why it cannot be.
    kept: HashMap<String, Result<Program, String>>,
    /// What expressions may call.
    functions: Context<'static, 'static>,
}

impl Programs {
    fn new() -> Self {
        let mut functions = Context::default();
        for (name, function) in [
            ("isNaN", f64::is_nan as fn(f64) -> bool),
            ("isInf", f64::is_infinite),
        ] {
            let added = functions.add_function(name, move |Arguments(of): Arguments| {
                number(name, &of).map(function)
            });
            // A name that the library has taken meanwhile stays its own; a test asks for both.
            let _ = added;
        }
        Self {
            kept: HashMap::new(),
            functions,
        }
    }

    fn answer(&mut self, expression: &str, scope: Option<&Scope>) -> Answer {
        let evaluated = AssertUnwindSafe(|| {
            let Self { kept, functions } = self;
            let program = compiled(kept, expression)?;
            match scope {
                Some(scope) => run(program, functions, scope),
                None => try_out(program, functions),
            }
        });
        catch_unwind(evaluated)
            .unwrap_or_else(|_| Err("its evaluation failed unexpectedly".to_owned()))
    }
}

fn compiled<'a>(
    kept: &'a mut HashMap<String, Result<Program, String>>,
    expression: &str,
) -> Result<&'a Program, String> {
    if kept.len() >= MAX_KEPT && !kept.contains_key(expression) {
        kept.clear();
    }
    let program = kept
        .entry(expression.to_owned())
        .or_insert_with(|| Program::compile(expression).map_err(|error| error.to_string()));
    program.as_ref().map_err(Clone::clone)
}

/// Whether an expression names only what there is, and yields true or false whatever was measured.
fn try_out(program: &Program, functions: &Context) -> Answer {
    let references = program.references();
    let mut names = references.variables().into_iter();
    if let Some(unknown) = names.find(|name| !Scope::NAMES.contains(name)) {
        let known = Scope::NAMES.join(", ");
        return Err(format!("there is no {unknown}; there is {known}"));
    }
    for value in TRIALS {
        run(program, functions, &Scope { value: *value })?;
    }
    Ok(true)
}

fn run(program: &Program, functions: &Context, scope: &Scope) -> Answer {
    let Scope { value } = scope;
    let mut context = functions.new_inner_scope();
    context.add_variable_from_value("value", Value::Float(*value));
    match program.execute(&context) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("yields {}, not true or false", other.type_of())),
        Err(error) => Err(error.to_string()),
    }
}

/// The only argument of a function of numbers, whole or not.
#[expect(
    clippy::cast_precision_loss,
    reason = "whether it is a number at all does not depend on its last digits"
)]
fn number(function: &str, arguments: &[Value]) -> Result<f64, ExecutionError> {
    match arguments {
        [Value::Float(number)] => Ok(*number),
        [Value::Int(number)] => Ok(*number as f64),
        [Value::UInt(number)] => Ok(*number as f64),
        _ => Err(ExecutionError::function_error(function, "takes one number")),
    }
}

fn words(expression: &str) -> impl Iterator<Item = &str> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(move |c| !is_of_word(c))
}

/// Checks that an expression can be used. The error is for people.
pub fn check(expression: &str) -> Result<(), String> {
    ask(expression, None).map(|_| ())
}

/// Whether the expression holds. The error is for people.
pub fn evaluate(expression: &str, scope: Scope) -> Result<bool, String> {
    ask(expression, Some(scope))
}

fn ask(expression: &str, scope: Option<Scope>) -> Answer {
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
    let (answer, answered) = mpsc::sync_channel(1);
    let question = Question {
        expression: expression.to_owned(),
        scope,
        answer,
    };
    let is_asked = EVALUATOR
        .as_ref()
        .is_some_and(|evaluator| evaluator.send(question).is_ok());
    let no_thread = || Err("there is no thread to evaluate it on".to_owned());
    if !is_asked {
        return no_thread();
    }
    answered.recv().unwrap_or_else(|_| no_thread())
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

    fn holds(expression: &str, value: f64) -> Answer {
        evaluate(expression, Scope { value })
    }

    #[test]
    fn comparisons_with_whole_and_broken_numbers_hold() {
        assert_eq!(holds("value >= 0.99", 0.995), Ok(true));
        assert_eq!(holds("value >= 0.99", 0.5), Ok(false));
        assert_eq!(holds("value > 1", 2.0), Ok(true));
        assert_eq!(holds("value == 1", 1.0), Ok(true));
        assert_eq!(holds("value >= 1 && value <= 3", 2.0), Ok(true));
    }

    #[test]
    fn what_is_no_number_or_no_end_can_be_told() {
        assert_eq!(holds("isNaN(value)", f64::NAN), Ok(true));
        assert_eq!(holds("isNaN(value) || value > 1", 0.0), Ok(false));
        assert_eq!(holds("isInf(value)", f64::NEG_INFINITY), Ok(true));
        assert_eq!(holds("isInf(1)", 0.0), Ok(false));
        // What is no number is neither more nor less than another: an error, never a good sample.
        assert!(holds("value >= 0.99", f64::NAN).is_err());
        assert_eq!(holds("!isNaN(value) && value >= 0.99", f64::NAN), Ok(false));
        assert!(check("isInf('x')").unwrap_err().contains("one number"));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        assert!(check("value +").is_err());
        assert_eq!(
            check("vlaue > 1").unwrap_err(),
            "there is no vlaue; there is value"
        );
        // Also where only some values get that far.
        assert!(check("value > 5.0 && other < 1").is_err());
        assert!(check("value < 0.5 || nosuch(value)").is_err());
        let number = check("value * 2.0").unwrap_err();
        assert!(number.contains("not true or false"));
    }

    #[test]
    fn no_expression_can_run_for_ever() {
        let mut text = "value > 1.0".to_owned();
        for _ in 0..8 {
            text = format!("[1,1,1,1,1,1,1,1,1,1,1,1].all(x, {text})");
        }
        assert!(check(&text).unwrap_err().contains("loop"));
        assert_eq!(holds("value in [1.0, 2.0]", 2.0), Ok(true));
    }

    #[test]
    fn no_expression_can_end_the_process() {
        let deep = format!("{}value > 1{}", "(".repeat(400), ")".repeat(400));
        assert!(check(&deep).unwrap_err().contains("nested"));
        let nested = format!("{}value > 1.0{}", "(".repeat(16), ")".repeat(16));
        assert_eq!(holds(&nested, 2.0), Ok(true));
        let long = format!("value > 0.0{}", " + 1.0".repeat(165));
        assert!(long.len() <= MAX_LENGTH);
        let _ = check(&long);
        let negated = format!("{}(value > 1.0)", "!".repeat(1000));
        let _ = check(&negated);
        assert!(check(&"1+".repeat(600)).unwrap_err().contains("longer"));
    }

    #[test]
    fn what_is_kept_is_bounded_and_right_for_everybody_who_asks() {
        let mut programs = Programs::new();
        for number in 0..MAX_KEPT + 10 {
            let expression = format!("value > {number}.0");
            let scope = Scope { value: 1e9 };
            assert_eq!(programs.answer(&expression, Some(&scope)), Ok(true));
        }
        assert!(programs.kept.len() <= MAX_KEPT);
        std::thread::scope(|scope| {
            for limit in 0..32 {
                scope.spawn(move || {
                    let expression = format!("value > {limit}.5");
                    for value in 0..64 {
                        let expected = Ok(value > limit);
                        assert_eq!(holds(&expression, f64::from(value)), expected);
                    }
                });
            }
        });
    }
}
