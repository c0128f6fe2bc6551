//! What GitHub sends: signature, payload, and the commands in comments.

use hmac::{Hmac, KeyInit, Mac};
use orchestrator::domain::{Command, CommandFault, parse_command};
use orchestrator::github::payload::Payload;
use orchestrator::web::{Signature, body_fault};
use serde_json::Value;
use sha2::Sha256;

use super::{Target, input};

const SECRET: &[u8] = b"It's a Secret to Everybody";

pub const SIGNATURE: Target = Target {
    name: "signature",
    run: signature,
    words: &["sha256=", "sha1=", "SHA256=", "0", "f", "F", "00", "zz", "\n", " ", "0x", "757107ea0eb2509f"],
    seeds: &[
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\nHello, World!",
        "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17\nHello, World!",
        "sha1=0000000000000000000000000000000000000000\n{}",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1\n",
    ],
    longest: 512,
    cap: 64 * 1024,
};

/// A header and, from the next line on, a body.
fn signature(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key");
    mac.update(body);
    let right: [u8; 32] = mac.finalize().into_bytes().into();

    let digits = header.strip_prefix(b"sha256=").filter(|digits| digits.len() == 64);
    let written: Option<Vec<u8>> = digits.and_then(|digits| digits.chunks(2).map(byte).collect());
    let read = Signature::from_header(Some(header));
    assert_eq!(read.is_ok(), written.is_some(), "64 hexadecimal digits and nothing else are a signature");
    if let (Ok(read), Some(written)) = (read, written) {
        assert_eq!(read.verifies(SECRET, body), written == right);
    }

    // One turned bit, wherever it is, makes it another signature.
    let spelled = |bytes: &[u8]| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Signature::from_header(Some(format!("sha256={digits}").as_bytes())).expect("well-formed")
    };
    assert!(spelled(&right).verifies(SECRET, body));
    let bit = data.iter().fold(data.len(), |sum, byte| sum.wrapping_mul(31) + usize::from(*byte)) % 256;
    let mut wrong = right;
    wrong[bit / 8] ^= 1 << (bit % 8);
    assert!(!spelled(&wrong).verifies(SECRET, body), "bit {bit} is not looked at");
}

fn byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(pair.first()?)? * 16 + digit(pair.get(1)?)?).ok()
}

pub const PAYLOAD: Target = Target {
    name: "payload",
    run: payload,
    words: &[
        "issues\n",
        "issue_comment\n",
        "pull_request\n",
        "installation\n",
        "installation_repositories\n",
        "repository\n",
        "ping\n",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "1",
        "-1",
        "1e999",
        "18446744073709551616",
        "\"action\"",
        "\"issue\"",
        "\"number\"",
        "\"comment\"",
        "\"sender\"",
        "\"id\"",
        "\"login\"",
        "\"type\"",
        "\"User\"",
        "\"repository\"",
        "\"full_name\"",
        "\"installation\"",
        "\"label\"",
        "\"labels\"",
        "\"name\"",
        "\"body\"",
        "\"title\"",
        "\"state\"",
        "\"user\"",
        "\"created_at\"",
        "\\ud800",
    ],
    seeds: &[
        "ping\n{\"zen\": \"Design for failure.\"}",
        "issues\n{\"action\":\"labeled\",\"issue\":{\"id\":1,\"number\":2,\"title\":\"t\",\"body\":null,\"state\":\"open\",\"labels\":[],\"user\":{\"id\":1,\"login\":\"a\",\"type\":\"User\"}},\"label\":{\"name\":\"auto\"},\"sender\":{\"id\":1,\"login\":\"a\",\"type\":\"User\"},\"repository\":{\"id\":1,\"full_name\":\"a/b\"},\"installation\":{\"id\":1}}",
        "installation\n{\"action\":\"created\",\"installation\":{\"id\":1},\"repositories\":[{\"id\":1,\"full_name\":\"a/b\"}]}",
        "pull_request\n{\"action\":\"closed\",\"number\":1,\"repository\":{\"id\":1,\"full_name\":\"a/b\"}}",
    ],
    longest: 16 * 1024,
    cap: 25 * 1024 * 1024,
};

/// An event's name and, from the next line on, a body.
fn payload(data: &[u8]) {
    let made;
    let data = if data.first() == Some(&1) {
        made = input::text(data, PAYLOAD.words);
        made.as_bytes()
    } else {
        data
    };
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let event = String::from_utf8_lossy(&data[..end]);
    let body = data.get(end + 1..).unwrap_or_default();
    let fault = body_fault(body);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    assert_eq!(fault.is_none(), value.is_object(), "the receiver and its reader differ: {fault:?}");
    let action = || value["action"].as_str().expect("an action");
    match Payload::parse(&event, &value) {
        Ok(Payload::Issues(read)) => {
            assert_eq!(read.action, action());
            assert_eq!(Some(read.sender.id), value["sender"]["id"].as_u64());
        }
        Ok(Payload::IssueComment(read)) => {
            assert_eq!(read.action, action());
            assert_eq!(Some(read.comment.id), value["comment"]["id"].as_u64());
        }
        Ok(Payload::PullRequest(read)) => assert_eq!(Some(read.number), value["number"].as_u64()),
        Ok(Payload::Installation(read)) => {
            assert_eq!(Some(read.installation.id), value["installation"]["id"].as_u64());
        }
        Ok(Payload::Repository(read)) => {
            assert_eq!(Some(read.repository.id), value["repository"]["id"].as_u64());
        }
        Ok(Payload::InstallationRepositories(_) | Payload::Ping | Payload::Unknown) | Err(_) => {}
    }
}

pub const COMMAND: Target = Target {
    name: "command",
    run: command,
    words: &[
        "/orchestrate",
        " ",
        "\n",
        "help",
        "status",
        "approve",
        "reject",
        "retry",
        "fix",
        "cancel",
        "fix it\n",
        "> ",
        "```\n",
        "~~~\n",
        "    ",
        "- ",
        "1. ",
        "<!--",
        "-->",
        "<div>",
        "</div>",
        "`",
        "*",
        "_",
        "[",
        "](",
        ")",
        "![",
        "|",
        "|---|\n",
        "\\",
        "&nbsp;",
        "\r\n",
        "\r",
        "\t",
        "#",
        "===\n",
        "---\n",
        "<a href=\"",
        "/ORCHESTRATE",
        "/orchestrated",
        "\u{200b}",
        "\u{a0}",
        "[a]: ",
        "**",
        "é",
        "日本",
        "<",
        ">",
    ],
    seeds: &[
        "/orchestrate approve",
        "/orchestrate fix Round half to even.\n\n- and test it\n- `round(2.5)`\n",
        "> /orchestrate approve\n\nno",
        "```\n/orchestrate cancel\n```\n",
        "text\n/orchestrate retry\r\n",
        "| a | b |\n|---|---|\n| /orchestrate help | x |\n",
        "<!-- /orchestrate approve -->\n/Orchestrate STATUS",
    ],
    longest: 512,
    cap: 65_536,
};

fn command(data: &[u8]) {
    let comment = input::text(data, COMMAND.words);
    match parse_command(&comment) {
        Some(Ok(Command::Fix(text))) => {
            assert!(!text.trim().is_empty() && text.chars().count() <= 8_000);
            assert!(comment.contains(text.lines().next().unwrap_or_default().trim()), "words of its own");
        }
        Some(Err(CommandFault::UnknownVerb(verb))) => assert!((1..=40).contains(&verb.chars().count())),
        Some(Err(CommandFault::UnexpectedText(verb))) => assert!(verb.len() <= 10),
        Some(_) => {}
        None => {}
    }
    if parse_command(&comment).is_some() {
        assert!(comment.to_lowercase().contains("/orchestrate"));
        // Who quotes a comment or shows it as code only talks about what it says.
        let lines = || comment.split(['\n', '\r']);
        let quoted: String = lines().map(|line| format!("> {line}\n")).collect();
        assert_eq!(parse_command(&quoted), None, "a quotation commands: {quoted:?}");
        let code: String = lines().map(|line| format!("    {line}\n")).collect();
        assert_eq!(parse_command(&code), None, "code commands: {code:?}");
        let tildes = "~".repeat(comment.len().min(5_000) + 3);
        if !comment.contains(&tildes) {
            let fenced = format!("{tildes}\n{comment}\n{tildes}\n");
            assert_eq!(parse_command(&fenced), None, "a fence commands: {fenced:?}");
        }
    }
}
