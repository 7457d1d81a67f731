//! Makes Rust of the .proto files; protox compiles them, so that no `protoc` is needed.

const API: [&str; 2] = ["odradek/v1/record.proto", "odradek/v1/record_service.proto"];
const ROOT: &str = "../../../proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in API {
        println!("cargo:rerun-if-changed={ROOT}/{name}");
    }
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(protox::compile(API, [ROOT])?)?;
    Ok(())
}
