fn main() -> std::process::ExitCode {
    control::newaliases()
}
