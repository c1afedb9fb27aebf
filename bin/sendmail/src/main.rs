fn main() -> std::process::ExitCode {
    control::sendmail()
}
