fn main() -> std::process::ExitCode {
    responder::vacation()
}
