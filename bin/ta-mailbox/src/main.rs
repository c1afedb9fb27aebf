fn main() -> std::process::ExitCode {
    mailbox::run()
}
