use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["in-sandbox", "forward", "--socket", socket, "--", argv @ ..] = words.as_slice() {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        return match orchestrator::sandbox::inside::forward(Path::new(socket), &argv) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("orchestrator: {error}");
                ExitCode::from(125)
            }
        };
    }
    ExitCode::from(2)
}
