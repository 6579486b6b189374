//! Frames between parent and worker: a little-endian length of four bytes, then postcard.
//!
//! Every frame is written with one call where the socket takes it whole.

use std::fs::File;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::config::WorkerConfig;
use super::error::ExecError;
use crate::case::Case;
use crate::trace::{Environment, Trace};

/// From the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The first frame.
    Start(WorkerConfig),
    /// Run this.
    Run(Box<Case>),
}

/// From the worker: one `Hello`, then one `Ran` for each case.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Ready, or why not.
    Hello(Result<Environment, ExecError>),
    /// A case is done. With `last`, the worker is about to exit because a step hangs.
    Ran {
        /// What came of it.
        result: Result<Box<Trace>, ExecError>,
        /// Whether this is the worker's last word.
        last: bool,
    },
}

/// `Request::Run` without a copy of the case.
#[derive(Serialize)]
enum RequestRef<'a> {
    #[expect(dead_code, reason = "keeps the variants numbered as in `Request`")]
    Start(&'a WorkerConfig),
    Run(&'a Case),
}

/// The frame for running `case`.
pub(super) fn run_frame(case: &Case) -> Result<Vec<u8>, ExecError> {
    frame(&RequestRef::Run(case))
}

/// A whole frame.
pub(super) fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, ExecError> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(&[0; 4]);
    let mut out = postcard::to_extend(message, out)
        .map_err(|e| ExecError::Internal(format!("a message has no encoding: {e}")))?;
    let len = u32::try_from(out.len() - 4).map_err(|_| ExecError::Setup("a message is longer than 4 GiB".into()))?;
    out[..4].copy_from_slice(&len.to_le_bytes());
    Ok(out)
}

/// The first message in `bytes` and how many bytes it took; `None` while it is incomplete.
pub(super) fn unframe<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<(T, usize)>, ExecError> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_le_bytes(*head) as usize;
    let Some(body) = rest.get(..len) else { return Ok(None) };
    let message =
        postcard::from_bytes(body).map_err(|e| ExecError::Internal(format!("a message cannot be decoded: {e}")))?;
    Ok(Some((message, len + 4)))
}

/// Reads one message, waiting for it; `None` at the end of the stream.
pub(super) fn receive<T: DeserializeOwned>(socket: &mut &File) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    if let Err(e) = socket.read_exact(&mut head) {
        return if e.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(e) };
    }
    let mut body = vec![0; u32::from_le_bytes(head) as usize];
    socket.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

/// Sends one message.
pub(super) fn send<T: Serialize>(socket: &mut &File, message: &T) -> io::Result<()> {
    let bytes = frame(message).map_err(io::Error::other)?;
    socket.write_all(&bytes)
}
