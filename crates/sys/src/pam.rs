//! PAM by its library, loaded when first asked: the suite builds and runs without one.
//!
//! Modules of PAM are code of others that runs in our process, may block for long, and may do anything to it. So this is
//! for a process that asks once and ends.

use libc::{c_char, c_int, c_uint, c_void};
use std::ffi::{CStr, CString};

/// Under the name that distributions keep stable.
const LIBRARY: &CStr = c"libpam.so.0";

const SUCCESS: c_int = 0;
const CONV_ERR: c_int = 19;
/// Item numbers of pam_set_item(3).
const TTY: c_int = 3;
const RHOST: c_int = 4;
const FAIL_DELAY: c_int = 10;
/// No "password expired, choose another" dialogue, no empty passwords.
const FLAGS: c_int = 0x8000 | 0x0001;

/// What PAM says of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PamVerdict {
    Accepted,
    /// Wrong password, unknown user, account expired or closed.
    Refused,
    /// PAM or a module of it has failed, with this number (see `security/_pam_types.h`).
    Failed(i32),
    /// There is no library, or not the one we know.
    Missing,
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

struct Answers {
    user: CString,
    password: CString,
}

type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut *mut c_void) -> c_int;
type SetItem = unsafe extern "C" fn(*mut c_void, c_int, *const c_void) -> c_int;
type Step = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

/// Answers the questions of modules: hidden input is the password, visible input the user name.
extern "C" fn converse(count: c_int, messages: *mut *const Message, responses: *mut *mut Response, data: *mut c_void) -> c_int {
    let Ok(count) = usize::try_from(count) else { return CONV_ERR };
    if count == 0 || count > 32 || messages.is_null() || responses.is_null() || data.is_null() {
        return CONV_ERR;
    }
    // SAFETY: `data` is the pointer to `Answers` given to pam_start, alive until pam_end; PAM gives `count` pointers to
    // messages (Linux-PAM's layout: an array of pointers). The array of responses is from calloc, and its texts from
    // strdup, since PAM frees both with free(3).
    unsafe {
        let answers = &*data.cast::<Answers>();
        let array = libc::calloc(count, size_of::<Response>()).cast::<Response>();
        if array.is_null() {
            return CONV_ERR;
        }
        for at in 0..count {
            let message = *messages.add(at);
            let text = match if message.is_null() { 0 } else { (*message).style } {
                1 => libc::strdup(answers.password.as_ptr()),
                2 => libc::strdup(answers.user.as_ptr()),
                _ => std::ptr::null_mut(),
            };
            array.add(at).write(Response { text, code: 0 });
        }
        responses.write(array);
    }
    SUCCESS
}

/// We delay failures ourselves; a thread that sleeps would only keep others waiting.
extern "C" fn no_delay(_result: c_int, _microseconds: c_uint, _data: *mut c_void) {}

fn verdict(result: c_int) -> PamVerdict {
    match result {
        SUCCESS => PamVerdict::Accepted,
        // PERM_DENIED, AUTH_ERR, CRED_INSUFFICIENT, USER_UNKNOWN, MAXTRIES, NEW_AUTHTOK_REQD, ACCT_EXPIRED, CRED_UNAVAIL,
        // CRED_EXPIRED
        6 | 7 | 8 | 10 | 11 | 12 | 13 | 15 | 16 => PamVerdict::Refused,
        other => PamVerdict::Failed(other),
    }
}

/// Asks PAM whether this is the user's password, and whether the account may be used now.
pub fn pam_login(service: &str, user: &str, password: &str, remote_host: &str) -> PamVerdict {
    let [Ok(service), Ok(user), Ok(password), Ok(host)] = [service, user, password, remote_host].map(CString::new) else {
        return PamVerdict::Refused;
    };
    // SAFETY: loading runs the library's initialisers; it is the system's own, found where the loader looks.
    let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if library.is_null() {
        return PamVerdict::Missing;
    }
    // SAFETY: `library` is open and stays open until the process ends.
    let symbol = |name: &CStr| unsafe { libc::dlsym(library, name.as_ptr()) };
    let [start, set_item, authenticate, account, end] =
        [c"pam_start", c"pam_set_item", c"pam_authenticate", c"pam_acct_mgmt", c"pam_end"].map(symbol);
    if [start, set_item, authenticate, account, end].iter().any(|symbol| symbol.is_null()) {
        return PamVerdict::Missing;
    }
    let answers = Answers { user, password };
    let conversation = Conversation { converse, data: std::ptr::from_ref(&answers).cast_mut().cast() };
    // SAFETY: the symbols are not null and have the types of pam_start(3), pam_set_item(3), pam_authenticate(3),
    // pam_acct_mgmt(3) and pam_end(3); the texts and the conversation outlive the handle, which ends here.
    unsafe {
        let start = std::mem::transmute::<*mut c_void, Start>(start);
        let set_item = std::mem::transmute::<*mut c_void, SetItem>(set_item);
        let authenticate = std::mem::transmute::<*mut c_void, Step>(authenticate);
        let account = std::mem::transmute::<*mut c_void, Step>(account);
        let end = std::mem::transmute::<*mut c_void, Step>(end);
        let mut handle = std::ptr::null_mut();
        let started = start(service.as_ptr(), answers.user.as_ptr(), &raw const conversation, &raw mut handle);
        if started != SUCCESS || handle.is_null() {
            return PamVerdict::Failed(started);
        }
        set_item(handle, RHOST, host.as_ptr().cast());
        set_item(handle, TTY, c"smtp".as_ptr().cast());
        set_item(handle, FAIL_DELAY, no_delay as *const c_void);
        let mut result = authenticate(handle, FLAGS);
        if result == SUCCESS {
            result = account(handle, FLAGS);
        }
        end(handle, result);
        verdict(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux-PAM's service `other` denies; without a library nothing is accepted either.
    #[test]
    fn a_service_that_is_not_there_accepts_nobody() {
        let verdict = pam_login("zpost-no-such-service", "nobody", "x", "192.0.2.1");
        assert!(verdict != PamVerdict::Accepted, "{verdict:?}");
        assert_eq!(pam_login("a\0b", "nobody", "x", ""), PamVerdict::Refused);
    }
}
