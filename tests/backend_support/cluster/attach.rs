//! Attaching: a WebSocket with the streams of a container as numbered channels (`v5.channel.k8s.io`, see
//! `k8s.io/apimachinery/pkg/util/remotecommand`).

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use bollard::container::LogOutput;
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Cluster;
use super::api::{plain, status};
use super::node::Streams;

const PROTOCOL: &str = "v5.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

pub fn attach(cluster: &Cluster, name: &str, mut request: Request) -> Result<Response, Value> {
    let bad = |message: &str| status(400, "BadRequest", message);
    let query = request.uri().query().unwrap_or_default().to_owned();
    for wanted in ["container=sandbox", "stdin=true", "stdout=true", "stderr=true"] {
        if !query.split('&').any(|pair| pair == wanted) {
            return Err(bad(&format!("the tests want {wanted}")));
        }
    }
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !header(header::SEC_WEBSOCKET_PROTOCOL).split(',').any(|one| one.trim() == PROTOCOL) {
        return Ok(plain(StatusCode::FORBIDDEN));
    }
    let key = derive_accept_key(header(header::SEC_WEBSOCKET_KEY).as_bytes());
    let mut state = cluster.state();
    let missing = || status(404, "NotFound", &format!("pods \"{name}\" not found"));
    let pod = state.pods.get_mut(name).ok_or_else(missing)?;
    if pod.object["status"]["phase"] != "Running" {
        return Err(bad(&format!("container sandbox in pod {name} is not running")));
    }
    // Once: with the end of the first its standard input is closed.
    let streams = pod.streams.take().ok_or_else(|| bad("somebody was attached already"))?;
    let upgrade = hyper::upgrade::on(&mut request);
    let (cluster, name) = (cluster.clone(), name.to_owned());
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let cut = cluster.shared.behaviour.cut.clone().unwrap_or_default();
        let has_ended = move || cluster.has_ended(&name);
        tokio::select! {
            () = cut.notified() => {}
            () = carry(socket, streams, has_ended) => {}
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    Ok(response.body(Body::empty()).expect("a response"))
}

async fn carry<S>(
    socket: WebSocketStream<S>,
    Streams { mut input, mut output }: Streams,
    has_ended: impl Fn() -> bool,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut to, mut from) = socket.split();
    let mut inward = tokio::task::JoinSet::new();
    inward.spawn(async move {
        while let Some(Ok(message)) = from.next().await {
            let Message::Binary(bytes) = message else { continue };
            let passed_on = match bytes.split_first() {
                Some((&STDIN, bytes)) => input.write_all(bytes).await,
                Some((&CLOSE, [STDIN])) => input.shutdown().await,
                _ => Ok(()),
            };
            if passed_on.is_err() || input.flush().await.is_err() {
                break;
            }
        }
        // The client is gone: so is the container's input.
        let _ = input.shutdown().await;
    });
    for channel in [STDOUT, STDERR, STATUS] {
        let _ = to.send(Message::binary(vec![channel])).await;
    }
    loop {
        // The engine does not always say that there is no more.
        let said = match tokio::time::timeout(Duration::from_millis(200), output.next()).await {
            Ok(Some(Ok(said))) => said,
            Err(_) if !has_ended() => continue,
            _ => break,
        };
        let channel = if matches!(said, LogOutput::StdErr { .. }) { STDERR } else { STDOUT };
        let bytes = said.into_bytes();
        if to.send(Message::binary([&[channel], &bytes[..]].concat())).await.is_err() {
            break;
        }
    }
    let end =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }).to_string();
    let _ = to.send(Message::binary([&[STATUS], end.as_bytes()].concat())).await;
    let _ = to.close().await;
}
