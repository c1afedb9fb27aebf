fn main() -> std::process::ExitCode {
    keyholder::run()
}
