//! What a route answers: an [`Answer`], or a [`Refusal`] in GitHub's own words.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// Where GitHub documents its REST API; the prefix of every `documentation_url`.
pub(super) const DOCS: &str = "https://docs.github.com/rest";

#[derive(Clone, Debug)]
pub(super) enum Body {
    Empty,
    Json(Value),
    Text { content_type: &'static str, text: Vec<u8> },
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body: Body::Json(body) }
    }

    /// 201 with a `Location` header taken from the resource's own `url`.
    pub fn created(body: Value) -> Self {
        let location = body.get("url").and_then(Value::as_str).map(str::to_owned);
        let headers = location.map(|url| ("location", url)).into_iter().collect();
        Self { status: StatusCode::CREATED, headers, body: Body::Json(body) }
    }

    pub fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, headers: Vec::new(), body: Body::Json(json!({})) }
    }

    pub fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: Body::Empty }
    }

    pub fn text(content_type: &'static str, text: impl Into<Vec<u8>>) -> Self {
        let body = Body::Text { content_type, text: text.into() };
        Self { status: StatusCode::OK, headers: Vec::new(), body }
    }

    pub fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn json(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(value) => Some(value),
            Body::Empty | Body::Text { .. } => None,
        }
    }
}

/// An error answer: `message`, `documentation_url`, `status` and, for 422, `errors`.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub message: String,
    pub documentation_url: String,
    pub errors: Option<Vec<Value>>,
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            documentation_url: String::new(),
            errors: None,
            headers: Vec::new(),
        }
    }

    pub fn not_found() -> Self {
        super::refusals::NOT_FOUND.refuse()
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 422 `Validation Failed` with one entry in `errors`.
    /// Source: docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed.
    pub fn invalid(resource: &str, field: &str, code: &str) -> Self {
        Self::unprocessable("Validation Failed")
            .with_error(json!({"resource": resource, "field": field, "code": code}))
    }

    /// 422 `Validation Failed` with a message of the resource's own (`code: custom`).
    pub fn custom(resource: &str, field: Option<&str>, message: impl Into<String>) -> Self {
        let mut error = Map::new();
        error.insert("resource".into(), json!(resource));
        error.insert("code".into(), json!("custom"));
        if let Some(field) = field {
            error.insert("field".into(), json!(field));
        }
        error.insert("message".into(), json!(message.into()));
        Self::unprocessable("Validation Failed").with_error(Value::Object(error))
    }

    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub fn with_error(mut self, error: Value) -> Self {
        self.errors.get_or_insert_default().push(error);
        self
    }

    pub fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The documentation a refusal names is its route's, unless it has a page of its own.
    pub fn into_answer(self, route_documentation: &str) -> Answer {
        let documentation_url = match self.documentation_url.as_str() {
            "" if route_documentation.is_empty() => DOCS.to_owned(),
            "" => format!("{DOCS}/{route_documentation}"),
            own => own.to_owned(),
        };
        let mut body = Map::new();
        body.insert("message".into(), json!(self.message));
        if let Some(errors) = self.errors {
            body.insert("errors".into(), Value::Array(errors));
        }
        body.insert("documentation_url".into(), json!(documentation_url));
        body.insert("status".into(), json!(self.status.as_str()));
        Answer { status: self.status, headers: self.headers, body: Body::Json(Value::Object(body)) }
    }
}

/// A failure of the simulator itself (a bare repository that cannot be read) is a 500, as at GitHub,
/// and its cause is logged.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "the GitHub simulator failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Server Error").with_error(json!(format!("{error:#}")))
    }
}

impl From<git2::Error> for Refusal {
    fn from(error: git2::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

pub(super) type Outcome = Result<Answer, Refusal>;
