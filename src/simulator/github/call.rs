//! One authorised request on its way through a handler: typed access to its parts, pages of lists.

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::auth::Actor;
use super::repository::Repository;
use super::route::Params;
use super::world::World;

/// A request as it came over the wire, its JSON parsed.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Percent-encoded, without the query.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// Null where there was no body.
    pub body: Value,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True where `Accept` asks for a media type such as `diff` in `application/vnd.github.v3.diff`.
    pub fn accepts(&self, kind: &str) -> bool {
        self.header("accept").unwrap_or("").split(',').any(|range| {
            let range = range.split(';').next().unwrap_or("").trim();
            let Some(rest) = range.strip_prefix("application/vnd.github.") else { return false };
            rest.split('+').next().unwrap_or("").split('.').any(|part| part == kind)
        })
    }
}

pub(super) struct Call<'a> {
    pub world: &'a mut World,
    pub request: &'a Request,
    pub params: Params,
    pub actor: Actor,
    /// Zero on routes that name no repository.
    pub repo_id: u64,
}

impl Call<'_> {
    pub fn repo(&self) -> &Repository {
        self.world.repo(self.repo_id)
    }

    pub fn repo_mut(&mut self) -> &mut Repository {
        self.world.repo_mut(self.repo_id)
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.world.now()
    }

    /// The account that acts: a person, or the App's bot.
    pub fn account(&self) -> Result<u64, Refusal> {
        match &self.actor {
            Actor::Person(id) => Ok(*id),
            Actor::Installation(_) | Actor::App => Ok(self.world.app_bot),
            Actor::Anonymous => Err(Refusal::unauthorized("Requires authentication")),
        }
    }

    pub fn by_app(&self) -> bool {
        matches!(self.actor, Actor::Installation(_) | Actor::App)
    }

    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// A numeric path parameter; anything else names nothing.
    pub fn id(&self, name: &str) -> Result<u64, Refusal> {
        self.param(name).parse().map_err(|_| Refusal::not_found())
    }

    pub fn field(&self, name: &str) -> Option<&Value> {
        self.request.body.get(name)
    }

    /// A string of the body; null and absent are both `None`.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.field(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(name, other, "a string")),
        }
    }

    pub fn required_text(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.ok_or_else(|| not_supplied(name))
    }

    pub fn integer(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.field(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong_type(name, value, "an integer")),
        }
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.field(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_bool().map(Some).ok_or_else(|| wrong_type(name, value, "a boolean")),
        }
    }

    pub fn list(&self, name: &str) -> Result<Option<&Vec<Value>>, Refusal> {
        match self.field(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(wrong_type(name, other, "an array")),
        }
    }

    /// A time parameter such as `since`; 422 where it cannot be read.
    pub fn since(&self) -> Result<Option<DateTime<Utc>>, Refusal> {
        self.request.query("since").map(|text| parse_time("since", text)).transpose()
    }

    pub fn page(&self, items: Vec<Value>) -> Answer {
        let (items, link) = self.cut(items);
        with_link(Answer::ok(Value::Array(items)), link)
    }

    /// A page inside an object with `total_count`, as checks and installations have it.
    pub fn page_in(&self, key: &str, items: Vec<Value>, more: Map<String, Value>) -> Answer {
        let total = items.len();
        let (items, link) = self.cut(items);
        let mut body = Map::new();
        body.insert("total_count".into(), json!(total));
        body.insert(key.into(), Value::Array(items));
        body.extend(more);
        with_link(Answer::ok(Value::Object(body)), link)
    }

    /// 30 a page by default, 100 at most; a page beyond the end is empty.
    /// Source: docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api.
    fn cut(&self, items: Vec<Value>) -> (Vec<Value>, Option<String>) {
        let number = |name: &str| self.request.query(name).and_then(|text| text.parse::<usize>().ok());
        let per_page = number("per_page").filter(|&size| size > 0).unwrap_or(30).min(100);
        let page = number("page").filter(|&page| page > 0).unwrap_or(1);
        let last = items.len().div_ceil(per_page).max(1);
        let mut links = Vec::new();
        let mut link = |to: usize, rel: &str| {
            links.push(format!("<{}>; rel=\"{rel}\"", self.page_url(to)));
        };
        if page > 1 {
            link((page - 1).min(last), "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        let start = (page - 1).saturating_mul(per_page);
        let cut = items.into_iter().skip(start).take(per_page).collect();
        (cut, (!links.is_empty()).then(|| links.join(", ")))
    }

    /// GitHub's own links name a repository by id, not by owner and name: a client must follow them as
    /// they are.
    fn page_url(&self, page: usize) -> String {
        let tail = self.request.path.strip_prefix("/repos/").and_then(|rest| rest.splitn(3, '/').nth(2));
        let path = match tail {
            Some(tail) if self.repo_id != 0 => format!("/repositories/{}/{tail}", self.repo_id),
            _ => self.request.path.clone(),
        };
        let mut query: Vec<String> = self
            .request
            .query
            .iter()
            .filter(|(name, _)| name != "page")
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        query.push(format!("page={page}"));
        self.world.api(&format!("{path}?{}", query.join("&")))
    }
}

fn with_link(answer: Answer, link: Option<String>) -> Answer {
    match link {
        Some(link) => answer.with_header("link", link),
        None => answer,
    }
}

pub(super) fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// GitHub checks bodies against its own schema first and answers in these words.
pub(super) fn wrong_type(name: &str, value: &Value, wanted: &str) -> Refusal {
    Refusal::unprocessable(format!("Invalid request.\n\nFor 'properties/{name}', {value} is not {wanted}."))
}

pub(super) fn not_supplied(name: &str) -> Refusal {
    Refusal::unprocessable(format!("Invalid request.\n\n\"{name}\" wasn't supplied."))
}

pub(super) fn parse_time(name: &str, text: &str) -> Result<DateTime<Utc>, Refusal> {
    DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).map_err(|_| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed")
            .with_error(json!({"resource": "Search", "field": name, "code": "invalid"}))
    })
}
