fn main() -> std::process::ExitCode {
    control::zpost()
}
