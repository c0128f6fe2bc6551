//! One request in, one answer out: what `orchestrator in-sandbox tool` does.

use std::io::{self, Read, Write};
use std::path::Path;

use super::{ToolAnswer, ToolRequest, execute};

/// Largest request that is read, in bytes.
const MAX_REQUEST_BYTES: u64 = 8 * 1024 * 1024;

/// Reads a [`ToolRequest`] as JSON, carries it out below `root` and writes the [`ToolAnswer`] as JSON.
/// A request that cannot be read gets an answer too.
pub fn serve(input: impl Read, mut output: impl Write, root: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    input.take(MAX_REQUEST_BYTES + 1).read_to_end(&mut bytes)?;
    let answer = if bytes.len() as u64 > MAX_REQUEST_BYTES {
        ToolAnswer::failed(format!("the request is larger than {MAX_REQUEST_BYTES} bytes"))
    } else {
        match serde_json::from_slice::<ToolRequest>(&bytes) {
            Ok(request) => execute(root, &request),
            Err(error) => ToolAnswer::failed(format!("the request cannot be read: {error}")),
        }
    };
    serde_json::to_writer(&mut output, &answer)?;
    output.flush()
}
