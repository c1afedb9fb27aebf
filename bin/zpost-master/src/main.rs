fn main() -> std::process::ExitCode {
    master::run()
}
