//! JUnit's XML, as test runners of every language write it.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::domain::{GateFinding, GateSeverity};
use crate::gates::findings::{self, Place};

/// Bytes of a failure's text that are looked at.
const TEXT: usize = 64 * 1024;

/// The failed tests, and the places that their failures name. Stops where the XML does.
pub(super) fn read(text: &str, place: Place<'_>) -> (Vec<GateFinding>, Vec<String>) {
    let mut reader = Reader::from_str(text);
    let (mut findings, mut failed) = (vec![], vec![]);
    let mut case = Case::default();
    let mut inside = false;
    while failed.len() < super::super::failed_tests::MOST {
        match reader.read_event() {
            Ok(Event::Start(tag)) if tag.name().as_ref() == "testcase" => case = Case::of(&tag),
            Ok(Event::Start(tag)) if is_failure(&tag) => {
                case.fail(&tag);
                inside = true;
            }
            Ok(Event::Empty(tag)) if is_failure(&tag) => case.fail(&tag),
            Ok(Event::Text(text)) if inside => case.text.push_str(&text),
            Ok(Event::CData(text)) if inside => case.text.push_str(&text),
            Ok(Event::End(tag)) => {
                inside &= !matches!(tag.name().as_ref(), "failure" | "error");
                if tag.name().as_ref() == "testcase" {
                    let case = std::mem::take(&mut case);
                    if let Some(message) = &case.message {
                        failed.push(case.name.clone());
                        findings.extend(case.places(message, place));
                    }
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    (findings, failed)
}

/// An attribute's value; `None` where it is not there or cannot be read.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}

fn is_failure(tag: &BytesStart<'_>) -> bool {
    matches!(tag.name().as_ref(), "failure" | "error")
}

/// One test.
#[derive(Default)]
struct Case {
    name: String,
    file: Option<String>,
    line: Option<u32>,
    /// Of its first failure; `None`: it did not fail.
    message: Option<String>,
    text: String,
}

impl Case {
    fn of(tag: &BytesStart<'_>) -> Self {
        let words = [attribute(tag, "classname"), attribute(tag, "name")];
        let name = words.into_iter().flatten().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let line = attribute(tag, "line").and_then(|line| line.parse().ok());
        let name = name.chars().take(300).collect();
        Self { name, file: attribute(tag, "file"), line, ..Self::default() }
    }

    fn fail(&mut self, tag: &BytesStart<'_>) {
        self.message.get_or_insert_with(|| attribute(tag, "message").unwrap_or_default());
    }

    /// What the failure's text names, else the test's own place.
    fn places(&self, message: &str, place: Place<'_>) -> Vec<GateFinding> {
        let cut = self.text.floor_char_boundary(self.text.len().min(TEXT));
        let mut found = findings::read(&self.text[..cut], place.cwd);
        if let (true, Some(file)) = (found.is_empty(), &self.file) {
            let message = format!("{} failed: {message}", self.name);
            found.extend(place.finding(file, self.line, &message, GateSeverity::Error));
        }
        found
    }
}
