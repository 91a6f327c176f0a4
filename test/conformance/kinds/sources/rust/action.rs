// What an action of this language can be asked to do. ../../README.md says what each act is.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{json, Value};
use weft_action::Context;

fn left_file() -> PathBuf {
    env::temp_dir().join("left-behind")
}

fn fails() {
    panic!("no luck"); // @throw
}

fn eat() -> ! {
    println!("hungry");
    let mut all = Vec::new();
    loop {
        all.push(vec![b'x'; 8 << 20]);
    }
}

fn shell(command: &str) -> Result<Value, Box<dyn Error>> {
    let ended = Command::new("sh").arg("-c").arg(command).output()?;
    Ok(json!({"code": ended.status.code(), "stderr": String::from_utf8_lossy(&ended.stderr)}))
}

const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decoded(text: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|&one| one == byte)) {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            all.push((bits >> count) as u8);
        }
    }
    all
}

fn encoded(all: &[u8]) -> String {
    let mut text = String::new();
    for three in all.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | (byte as u32) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char;
            text.push(if i <= three.len() { digit } else { '=' });
        }
    }
    text
}

fn turned(text: &str) -> Result<Value, Box<dyn Error>> {
    let mut all = decoded(text);
    all.reverse();
    std::io::stdout().write_all(b"A\xff\xfeB\n")?;
    Ok(json!({"base64": encoded(&all)}))
}

fn look() -> Value {
    json!({
        "leftBehind": env::var("LEFT_BEHIND").ok(), "file": left_file().exists(),
        "activationId": env::var("__OW_ACTIVATION_ID").ok(), "apiKey": env::var("__OW_API_KEY").ok(),
    })
}

pub fn main(params: Value, context: Context) -> Result<Value, Box<dyn Error>> {
    let text = |name: &str| params[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| params[name].as_u64().unwrap_or_default();
    match params["act"].as_str().unwrap_or_default() {
        "echo" => return Ok(params),
        "throw" => fails(),
        "text" => return Ok(json!("text")),
        "nothing" => return Ok(Value::Null),
        "array" => return Ok(json!([1, "two", {"three": 3}])),
        "exit" => {
            println!("last words");
            std::process::exit(number("code") as i32);
        }
        "hang" => {
            println!("still here");
            loop {
                thread::sleep(Duration::from_secs(1));
            }
        }
        "eat" => eat(),
        "shell" => return shell(&text("command")),
        "print" => {
            for _ in 0..number("lines") {
                println!("{}", text("line"));
            }
        }
        "streams" => {
            println!("out 1");
            eprintln!("err 1");
            println!("out 2");
            eprintln!("err 2");
            print!("out 3");
        }
        "bytes" => return turned(&text("base64")),
        "environment" => {
            let all: BTreeMap<String, String> = env::vars().collect();
            return Ok(json!({"env": all, "params": params}));
        }
        "wait" => {
            thread::sleep(Duration::from_millis(number("ms")));
            return Ok(json!({"waited": params["ms"]}));
        }
        "until-cancelled" => {
            println!("waiting");
            return Ok(json!({"cancelled": context.wait(context.remaining())}));
        }
        "remaining" => return Ok(json!({"remainingMs": context.remaining().as_millis() as u64})),
        "fill" => return Ok(json!({"x": "x".repeat(number("chars") as usize)})),
        "leave" => {
            env::set_var("LEFT_BEHIND", "yes");
            println!("left");
            fs::write(left_file(), "left")?;
        }
        "look" => return Ok(look()),
        "late" => {
            thread::spawn(|| {
                thread::sleep(Duration::from_millis(200));
                println!("late");
            });
        }
        act => return Err(format!("no such act: {act}").into()),
    }
    Ok(json!({}))
}

pub fn other(_: Value) -> Result<Value, Box<dyn Error>> {
    Ok(json!({"other": true}))
}
