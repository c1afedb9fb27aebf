fn main() -> std::process::ExitCode {
    router::run()
}
