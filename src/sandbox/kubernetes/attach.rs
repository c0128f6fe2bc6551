//! The connection to a pod's first process.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{select, unfold};
use futures::{FutureExt, StreamExt, TryStreamExt};
use kube::api::{AttachParams, AttachedProcess};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::errors::{api_error, once};
use super::{Shared, spec};
use crate::sandbox::line::{Line, Said, Speech};
use crate::sandbox::model::SandboxError;

const BUFFER: usize = 256 << 10;
/// How long to wait for bytes of a connection that is over.
const REST: Duration = Duration::from_millis(100);

/// Held while the line is used. Dropping it ends the pod.
pub(super) struct Attached(AttachedProcess);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Attaches to a pod that runs.
pub(super) async fn attach(shared: &Shared, pod: &str) -> Result<(Attached, Line), SandboxError> {
    let how = AttachParams {
        container: Some(spec::CONTAINER.into()),
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
        max_stdin_buf_size: Some(BUFFER),
        max_stdout_buf_size: Some(BUFFER),
        max_stderr_buf_size: Some(BUFFER),
    };
    let attached = once(shared.pods().attach(pod, &how)).await;
    let mut process = attached.map_err(api_error("attaching to a pod"))?;
    let missing = || SandboxError::Setup { reason: "attaching to a pod: the API gave no streams".into() };
    let stdin = process.stdin().ok_or_else(missing)?;
    let stdout = ReaderStream::with_capacity(process.stdout().ok_or_else(missing)?, BUFFER);
    let stderr = ReaderStream::new(process.stderr().ok_or_else(missing)?);
    let both = select(stdout.map_ok(Said::Frames), stderr.map_ok(Said::Stray));
    let over = process.take_status().map(|status| status.map(|_| ()).boxed());
    Ok((Attached(process), Line::new(stdin, until(both.boxed(), over))))
}

/// What is said until the connection is over, however it ended. One that broke leaves its streams open: what
/// is there then is all.
fn until(said: Speech, over: Option<BoxFuture<'static, ()>>) -> Speech {
    let next = async |(mut said, mut over): (Speech, Option<BoxFuture<'static, ()>>)| {
        loop {
            let next = match &mut over {
                Some(ended) => tokio::select! {
                    biased;
                    next = said.next() => next,
                    () = ended => {
                        over = None;
                        continue;
                    }
                },
                None => timeout(REST, said.next()).await.ok().flatten(),
            };
            return next.map(|next| (next, (said, over)));
        }
    };
    unfold((said, over), next).fuse().boxed()
}
