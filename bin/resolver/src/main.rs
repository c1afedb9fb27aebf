fn main() -> std::process::ExitCode {
    resolver::run()
}
