//! CEL over a few facts, safe against whoever writes it. No I/O.
//!
//! What an expression may name is a [`Scope`]: what was measured, what a run is about, what its reports say. Whoever takes
//! expressions from people has trial scopes as well, on which a new one is tried out before it is relied on.
//!
//! The CEL library recurses as deep as the expression is, and a stack overflow cannot be caught: it would end the process.
//! So expressions are short, not deep, and run on a thread with a large stack. There is one such thread, which keeps what
//! it has compiled: a Rollout is looked at often, and its expressions hardly ever change.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::mpsc::{self, SyncSender};

use cel::extractors::Arguments;
use cel::objects::Key;
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

/// One thing that is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A number.
    Number(f64),
    /// A whole number, to be compared with whole numbers.
    Count(i64),
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// Several texts; what is `in` them can be asked.
    Texts(Vec<String>),
    /// Facts below a name, as in `tests.failed`.
    Group(BTreeMap<&'static str, Fact>),
    /// Texts below a name, by names of people's.
    Map(BTreeMap<String, String>),
}

impl Fact {
    fn value(&self) -> Value {
        match self {
            Self::Number(number) => Value::Float(*number),
            Self::Count(number) => Value::Int(*number),
            Self::Text(text) => Value::String(text.clone().into()),
            Self::Flag(flag) => Value::Bool(*flag),
            Self::Texts(texts) => {
                let texts = texts.iter().map(|text| Value::String(text.clone().into()));
                Value::List(texts.collect::<Vec<Value>>().into())
            }
            Self::Group(facts) => {
                let facts = facts.iter();
                let facts = facts.map(|(name, fact)| (Key::from(*name), fact.value()));
                Value::Map(facts.collect::<HashMap<Key, Value>>().into())
            }
            Self::Map(texts) => {
                let texts = texts.iter().map(|(name, text)| {
                    let text = Value::String(text.clone().into());
                    (Key::from(name.clone()), text)
                });
                Value::Map(texts.collect::<HashMap<Key, Value>>().into())
            }
        }
    }
}

/// What an expression may name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope(BTreeMap<&'static str, Fact>);

impl Scope {
    /// These facts by name.
    pub fn new(facts: impl IntoIterator<Item = (&'static str, Fact)>) -> Self {
        Self(facts.into_iter().collect())
    }
}

type Answer = Result<bool, String>;

/// A question to the thread that evaluates.
struct Question {
    expression: String,
    /// It has to yield true or false in each of these; the answer is that of the last one.
    scopes: Vec<Scope>,
    /// Whether this is about the expression itself, and not about what holds.
    is_trial: bool,
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
            let answer = programs.answer(&question);
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

    fn answer(&mut self, question: &Question) -> Answer {
        let evaluated = AssertUnwindSafe(|| {
            let Self { kept, functions } = self;
            let program = compiled(kept, &question.expression)?;
            if question.is_trial {
                check_names(program, &question.scopes)?;
            }
            let mut holds = true;
            for scope in &question.scopes {
                holds = run(program, functions, scope)?;
            }
            Ok(holds)
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

/// Whether an expression names only what there is.
fn check_names(program: &Program, scopes: &[Scope]) -> Result<(), String> {
    let Some(Scope(facts)) = scopes.first() else {
        return Ok(());
    };
    let references = program.references();
    let mut names = references.variables().into_iter();
    let Some(unknown) = names.find(|name| !facts.contains_key(name)) else {
        return Ok(());
    };
    let known: Vec<&str> = facts.keys().copied().collect();
    Err(format!(
        "there is no {unknown}; there is {}",
        known.join(", ")
    ))
}

fn run(program: &Program, functions: &Context, scope: &Scope) -> Answer {
    let mut context = functions.new_inner_scope();
    for (name, fact) in &scope.0 {
        context.add_variable_from_value(*name, fact.value());
    }
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

/// Checks that an expression can be used: that it names only what the first of the `trials` has, and yields true or false
/// in each of them. Together they should reach both sides of a condition. The error is for people.
pub fn check(expression: &str, trials: &[Scope]) -> Result<(), String> {
    ask(expression, trials.to_vec(), true).map(|_| ())
}

/// Whether the expression holds. The error is for people.
pub fn evaluate(expression: &str, scope: Scope) -> Result<bool, String> {
    ask(expression, vec![scope], false)
}

fn ask(expression: &str, scopes: Vec<Scope>, is_trial: bool) -> Answer {
    if expression.len() > MAX_LENGTH {
        return Err(format!("longer than {MAX_LENGTH} characters"));
    }
    if depth(expression) > MAX_DEPTH {
        return Err(format!("brackets nested deeper than {MAX_DEPTH}"));
    }
    if let Some(name) = words(expression).find(|word| LOOPS.contains(word)) {
        return Err(format!(
            "{name}() is a loop, and loops are not run here: compare, or ask what is `in` a list"
        ));
    }
    let (answer, answered) = mpsc::sync_channel(1);
    let question = Question {
        expression: expression.to_owned(),
        scopes,
        is_trial,
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

    fn measured(value: f64) -> Scope {
        Scope::new([("value", Fact::Number(value))])
    }

    fn check(expression: &str) -> Result<(), String> {
        let trials = [0.0, 1.0, -1.0, 1e9].map(measured);
        super::check(expression, &trials)
    }

    fn holds(expression: &str, value: f64) -> Answer {
        evaluate(expression, measured(value))
    }

    #[test]
    fn texts_flags_lists_and_groups_can_be_asked_about() {
        let tests = BTreeMap::from([("failed", Fact::Count(2)), ("share", Fact::Number(0.5))]);
        let scope = Scope::new([
            ("branch", Fact::Text("release/1.4".into())),
            ("fork", Fact::Flag(false)),
            ("labels", Fact::Texts(vec!["ready".into()])),
            ("tests", Fact::Group(tests)),
        ]);
        for expression in [
            "branch.startsWith('release/') && !fork",
            "'ready' in labels",
            "branch.matches('^release/[0-9.]+$')",
            "tests.failed == 2 && tests.share < 0.6",
        ] {
            assert_eq!(
                super::check(expression, std::slice::from_ref(&scope)),
                Ok(())
            );
            assert_eq!(
                evaluate(expression, scope.clone()),
                Ok(true),
                "{expression}"
            );
        }
        let unknown = super::check("tag == 'v1'", std::slice::from_ref(&scope)).unwrap_err();
        assert_eq!(
            unknown,
            "there is no tag; there is branch, fork, labels, tests"
        );
        assert!(super::check("tests.passed > 1", &[scope]).is_err());
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
            let question = Question {
                expression: format!("value > {number}.0"),
                scopes: vec![measured(1e9)],
                is_trial: false,
                answer: mpsc::sync_channel(1).0,
            };
            assert_eq!(programs.answer(&question), Ok(true));
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
