//! The App's view of its deliveries: what was sent, what became of it, and sending it again.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock::stamp;
use super::deliveries::DeliveryRecord;
use super::route::{Access, Route, Verb};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/app/hook/config",
        Access::App,
        "apps/webhooks#get-a-webhook-configuration-for-an-app",
        config,
    ),
    Route::new(
        Verb::Get,
        "/app/hook/deliveries",
        Access::App,
        "apps/webhooks#list-deliveries-for-an-app-webhook",
        list,
    ),
    Route::new(
        Verb::Get,
        "/app/hook/deliveries/{delivery_id}",
        Access::App,
        "apps/webhooks#get-a-delivery-for-an-app-webhook",
        get,
    ),
    Route::new(
        Verb::Post,
        "/app/hook/deliveries/{delivery_id}/attempts",
        Access::App,
        "apps/webhooks#redeliver-a-delivery-for-an-app-webhook",
        redeliver,
    ),
];

fn config(call: &mut Call<'_>) -> Outcome {
    let url = call.world.webhook_url.clone();
    Ok(Answer::ok(json!({
        "url": url, "content_type": "json", "insecure_ssl": "0", "secret": "********",
    })))
}

/// Newest first, with a cursor instead of pages.
fn list(call: &mut Call<'_>) -> Outcome {
    let per_page = call.request.query("per_page").and_then(|text| text.parse::<usize>().ok());
    let per_page = per_page.filter(|&size| size > 0).unwrap_or(30).min(100);
    let before = match call.request.query("cursor") {
        None => u64::MAX,
        Some(cursor) => {
            let id = cursor.strip_prefix("v1_").and_then(|id| id.parse().ok());
            id.ok_or_else(|| Refusal::new(axum::http::StatusCode::BAD_REQUEST, "Invalid cursor"))?
        }
    };
    let wanted = call.request.query("status");
    let mut found = call.world.deliveries.iter().rev().filter(|one| one.id < before).filter(|one| {
        let delivered = (200..300).contains(&one.status_code);
        match wanted {
            Some("success") => delivered,
            Some("failure") => !delivered,
            _ => true,
        }
    });
    let page: Vec<&DeliveryRecord> = found.by_ref().take(per_page).collect();
    let more = found.next().is_some();
    let shown = page.iter().map(|one| show_item(one)).collect();
    let mut answer = Answer::ok(shown);
    if let (true, Some(last)) = (more, page.last()) {
        let next = call.world.api(&format!("/app/hook/deliveries?per_page={per_page}&cursor=v1_{}", last.id));
        answer = answer.with_header("link", format!("<{next}>; rel=\"next\""));
    }
    Ok(answer)
}

fn delivery_of<'a>(call: &'a Call<'_>) -> Result<&'a DeliveryRecord, Refusal> {
    let id = call.id("delivery_id")?;
    call.world.deliveries.iter().find(|one| one.id == id).ok_or_else(Refusal::not_found)
}

fn get(call: &mut Call<'_>) -> Outcome {
    let record = delivery_of(call)?;
    let mut shown = show_item(record);
    shown["url"] = json!(record.url);
    shown["request"] = json!({"headers": record.request_headers, "payload": record.sent.payload});
    shown["response"] = json!({"headers": record.response_headers, "payload": record.response_body});
    Ok(Answer::ok(shown))
}

/// The delivery goes out again with the same GUID.
fn redeliver(call: &mut Call<'_>) -> Outcome {
    let mut again = delivery_of(call)?.sent.clone();
    again.redelivery = true;
    call.world.outgoing.push(again);
    Ok(Answer::accepted())
}

fn show_item(record: &DeliveryRecord) -> Value {
    json!({
        "id": record.id,
        "guid": record.sent.guid,
        "delivered_at": stamp(record.at),
        "redelivery": record.sent.redelivery,
        "duration": (record.seconds * 100.0).round() / 100.0,
        "status": record.status,
        "status_code": record.status_code,
        "event": record.sent.event,
        "action": record.sent.action,
        "installation_id": record.sent.installation,
        "repository_id": record.sent.repository,
        "throttled_at": null,
    })
}
