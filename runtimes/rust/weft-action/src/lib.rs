//! The loop of a Rust action: linked with the action's own code into one program that the launcher starts. It reads a request
//! a line from standard input and writes the answer as a line to file descriptor 3, as OpenWhisk's ActionLoop has it.
//!
//! An action is a function of one of these forms, of whatever serde can read and write:
//!
//! ```ignore
//! pub fn main(args: Value) -> Result<Value, Error>
//! pub fn main(args: Input, context: weft_action::Context) -> Result<Output, Box<dyn std::error::Error>>
//! ```

use std::any::Any;
use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::io::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::{json, Value};

/// What an action may ask about its run.
#[derive(Clone)]
pub struct Context {
    activation_id: String,
    deadline_ms: u64,
    traceparent: String,
    ends: Option<Instant>,
    run: Arc<Run>,
}

impl Context {
    pub fn activation_id(&self) -> &str {
        &self.activation_id
    }

    /// When the run must be over: milliseconds since 1970.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Of a call that is traced, as W3C Trace Context has it; else empty.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// How long the run may still take.
    pub fn remaining(&self) -> Duration {
        match self.ends {
            Some(ends) => ends.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        }
    }

    /// Whether nobody waits for the answer any more.
    pub fn cancelled(&self) -> bool {
        *held(&self.run.cancelled)
    }

    /// Waits until the run is cancelled, or so long; says whether it is.
    pub fn wait(&self, at_most: Duration) -> bool {
        let cancelled = held(&self.run.cancelled);
        match self.run.told.wait_timeout_while(cancelled, at_most, |cancelled| !*cancelled) {
            Ok((cancelled, _)) => *cancelled,
            Err(poisoned) => *poisoned.into_inner().0,
        }
    }
}

/// What `serve` takes: see the forms above. `Form` tells them apart.
pub trait Action<Form> {
    #[doc(hidden)]
    fn answer(&self, value: Value, context: Context) -> Result<String, Wrong>;
}

/// Why there is no result.
#[doc(hidden)]
pub enum Wrong {
    Application(String),
    Developer(String),
}

impl<F, A, T, E> Action<(A, T, E)> for F
where
    F: Fn(A) -> Result<T, E>,
    A: DeserializeOwned,
    T: Serialize,
    E: Display,
{
    fn answer(&self, value: Value, _: Context) -> Result<String, Wrong> {
        written(self(read(value)?))
    }
}

impl<F, A, T, E> Action<(A, Context, T, E)> for F
where
    F: Fn(A, Context) -> Result<T, E>,
    A: DeserializeOwned,
    T: Serialize,
    E: Display,
{
    fn answer(&self, value: Value, context: Context) -> Result<String, Wrong> {
        written(self(read(value)?, context))
    }
}

fn read<A: DeserializeOwned>(value: Value) -> Result<A, Wrong> {
    serde_json::from_value(value).map_err(|error| Wrong::Application(format!("the arguments are not what the action takes: {error}")))
}

fn written<T: Serialize, E: Display>(answer: Result<T, E>) -> Result<String, Wrong> {
    let result = answer.map_err(|error| Wrong::Application(error.to_string()))?;
    serde_json::to_string(&result).map_err(|error| Wrong::Developer(format!("the result cannot be written as JSON: {error}")))
}

/// Runs the action for each request, until there are no more.
pub fn serve<Form>(action: impl Action<Form>) {
    let (requests, mut answers) = streams().expect("the launcher opens standard input and descriptor 3");
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
        let said = message(info.payload());
        eprintln!("panicked: {said}{place}");
        *held(&PANIC) = Some(format!("the action panicked: {said}{place}"));
    }));
    let running = listen();
    if env::var_os("__OW_WAIT_FOR_ACK").is_some() && writeln!(answers, "{{\"ok\":true}}").is_err() {
        return;
    }
    for line in BufReader::new(requests).split(b'\n') {
        let Ok(line) = line else { return };
        let mut answer = answer(&action, &line, &running);
        answer.push('\n');
        let _ = io::stdout().flush();
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Where requests come from and answers go to: standard input and descriptor 3, which the launcher opened before anything of
/// ours. They move to descriptors that programs which the action starts do not get: they would take requests for their input.
fn streams() -> io::Result<(File, File)> {
    let requests = io::stdin().as_fd().try_clone_to_owned()?;
    let answers = unsafe { BorrowedFd::borrow_raw(3) }.try_clone_to_owned()?;
    drop(unsafe { File::from_raw_fd(3) });
    if unsafe { dup2(File::open("/dev/null")?.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((File::from(requests), File::from(answers)))
}

fn answer<Form>(action: &impl Action<Form>, line: &[u8], running: &Mutex<Option<Arc<Run>>>) -> String {
    let request = match serde_json::from_slice(&mended(line)) {
        Ok(Value::Object(request)) => request,
        Ok(_) => return json!({"weft_developer_error": "the request is no object"}).to_string(),
        Err(error) => return json!({"weft_developer_error": format!("the request cannot be read: {error}")}).to_string(),
    };
    let mut value = json!({});
    let mut context =
        Context { activation_id: String::new(), deadline_ms: 0, traceparent: String::new(), ends: None, run: Arc::default() };
    env::remove_var("__OW_API_KEY");
    for (name, given) in request {
        let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
        match name.as_str() {
            "value" => {
                value = given;
                continue;
            }
            "remaining_ms" => {
                context.ends = given.as_u64().filter(|&ms| ms > 0).map(|ms| Instant::now() + Duration::from_millis(ms));
                continue;
            }
            "traceparent" => {
                set("WEFT_TRACEPARENT", &text);
                context.traceparent = text;
                continue;
            }
            "activation_id" => context.activation_id.clone_from(&text),
            "deadline" => context.deadline_ms = text.parse().unwrap_or(0),
            _ => (),
        }
        set(&format!("__OW_{}", name.to_uppercase()), &text);
    }
    *held(running) = Some(Arc::clone(&context.run));
    *held(&PANIC) = None;
    let ended = panic::catch_unwind(AssertUnwindSafe(|| action.answer(value, context)));
    *held(running) = None;
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(Wrong::Application(said))) => json!({ "error": said }).to_string(),
        Ok(Err(Wrong::Developer(said))) => json!({ "weft_developer_error": said }).to_string(),
        Err(payload) => {
            let said = held(&PANIC).take().unwrap_or_else(|| format!("the action panicked: {}", message(&*payload)));
            json!({ "weft_developer_error": said }).to_string()
        }
    }
}

/// What the last panic said, with its place.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A variable cannot hold everything.
fn set(name: &str, text: &str) {
    if name.contains(['=', '\0']) || text.contains('\0') {
        eprintln!("{name} cannot be an environment variable");
    } else {
        env::set_var(name, text);
    }
}

/// Halves of surrogate pairs, which no text of Rust can hold, are replaced by U+FFFD.
fn mended(line: &[u8]) -> Vec<u8> {
    let unit = |at: usize| -> Option<u32> {
        let escape = line.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut whole = Vec::with_capacity(line.len());
    let mut at = 0;
    while at < line.len() {
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => {
                whole.extend_from_slice(&line[at..at + 12]);
                at += 12;
            }
            Some(0xd800..=0xdfff) => {
                whole.extend_from_slice(b"\\ufffd");
                at += 6;
            }
            _ => {
                // An escaped backslash begins no escape.
                let bytes = if line[at] == b'\\' { 2 } else { 1 };
                whole.extend_from_slice(&line[at..line.len().min(at + bytes)]);
                at += bytes;
            }
        }
    }
    whole
}

// ---- cancellation: SIGTERM ----

#[derive(Default)]
struct Run {
    cancelled: Mutex<bool>,
    told: Condvar,
}

extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn write(descriptor: i32, bytes: *const u8, count: usize) -> isize;
    fn dup2(from: i32, to: i32) -> i32;
}

const SIGTERM: i32 = 15;
static TOLD: AtomicI32 = AtomicI32::new(-1);

/// Runs in a signal handler, where nothing may be locked.
extern "C" fn told(_: i32) {
    unsafe { write(TOLD.load(Ordering::Relaxed), b"x".as_ptr(), 1) };
}

/// The run that a SIGTERM cancels; without one there is nothing to cancel.
fn listen() -> Arc<Mutex<Option<Arc<Run>>>> {
    let running: Arc<Mutex<Option<Arc<Run>>>> = Arc::default();
    let Ok((ours, mut theirs)) = UnixStream::pair() else { return running };
    TOLD.store(ours.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(ours); // open as long as the handler is there
    unsafe { signal(SIGTERM, told as extern "C" fn(i32) as usize) };
    let shared = Arc::clone(&running);
    std::thread::spawn(move || {
        while theirs.read_exact(&mut [0]).is_ok() {
            if let Some(run) = &*held(&shared) {
                *held(&run.cancelled) = true;
                run.told.notify_all();
            }
        }
    });
    running
}

/// What a panic left is as good as what it found: there are only whole values in ours.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::mended;

    #[test]
    fn halves_of_pairs_are_replaced_and_nothing_else() {
        for (line, whole) in [
            (r#"{"a":"\ud83d\ude00 \u00e9"}"#, r#"{"a":"\ud83d\ude00 \u00e9"}"#),
            (r#"{"a":"\ud83db"}"#, r#"{"a":"\ufffdb"}"#),
            (r#"{"a":"\ude00\ud83d"}"#, r#"{"a":"\ufffd\ufffd"}"#),
            (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
            (r#"{"a":"\ud83d"#, r#"{"a":"\ufffd"#),
            (r"\", r"\"),
        ] {
            assert_eq!(String::from_utf8(mended(line.as_bytes())).unwrap(), whole);
        }
    }
}
