fn main() -> std::process::ExitCode {
    responder::autoanswer()
}
