fn main() -> std::process::ExitCode {
    errormail::run()
}
