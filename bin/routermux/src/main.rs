fn main() -> std::process::ExitCode {
    routermux::run()
}
