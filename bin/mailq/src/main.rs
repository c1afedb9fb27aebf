fn main() -> std::process::ExitCode {
    control::mailq()
}
