fn main() -> std::process::ExitCode {
    scheduler::run()
}
