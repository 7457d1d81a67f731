//! What the build makes of the .proto files, and what both programs need.

pub mod v1 {
    tonic::include_proto!("odradek.v1");
}

use tonic::{Code, Status};

/// True when the same may go well at another node, or later. Everything else means that the request is wrong.
pub fn try_again(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled
    )
}
