fn main() -> std::process::ExitCode {
    delegate::run()
}
