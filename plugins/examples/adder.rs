// SPDX-License-Identifier: BSD-2-Clause
//! A device in Rust, without crates: a port adds what the guest writes, and a read returns the sum.
//! Build it with: rustc --crate-type cdylib -O -o adder.so adder.rs
//!
//! The structs are those of minivmm/plugin.h, as far as the device needs them: the tables and the
//! table of services are the interface for other languages. minivmm-plugin(3) is the manual.
#![allow(dead_code)]

use std::os::raw::{c_char, c_int, c_void};

const ABI: u32 = 2;
const PIO: u32 = 1;
const W8: u32 = 1;
const W16: u32 = 2;
const U64: u32 = 4; // MINIVMM_U64
const INFO: u32 = 2;

/// The part of struct minivmm_services that the device uses. All services of this ABI exist; check
/// size before you call one that was added later.
#[repr(C)]
struct Services {
    size: u32,
    abi: u32,
    log_level: u32,
    reserved: u32,
    log: unsafe extern "C" fn(*mut Device, u32, *const c_char),
}

#[repr(C)]
struct Device {
    services: *const Services,
    state: *mut c_void,
    name: *const c_char,
    size: u32,
}

#[repr(C)]
struct Access {
    offset: u64,
    width: u32,
    range: u32,
    vcpu: u32,
    size: u32,
    address: u64,
}

type Read = unsafe extern "C" fn(*mut Device, *const Access, *mut u64) -> c_int;
type Write = unsafe extern "C" fn(*mut Device, *const Access, u64) -> c_int;
type Start = unsafe extern "C" fn(*mut Device, *const c_void) -> c_int;
type Callback = unsafe extern "C" fn(*mut Device) -> c_int;

#[repr(C)]
struct Range {
    space: u32,
    flags: u32,
    at: *const c_char,
    at_initial: *const c_char,
    length: u64,
    length_option: *const c_char,
    widths: u32,
    read: Option<Read>,
    write: Option<Write>,
    registers: *const c_void,
    help: *const c_char,
}

#[repr(C)]
struct Field {
    name: *const c_char,
    kind: u32,
    offset: u32,
    count: u32,
    flags: u32,
    counter_offset: u32,
    counter_type: u32,
    initial: u64,
    max: u64,
    since: u32,
    help: *const c_char,
}

/// struct minivmm_plugin up to destroy; the host takes missing members as zero.
#[repr(C)]
struct Plugin {
    name: *const c_char,
    summary: *const c_char,
    state_version: u32,
    flags: u32,
    state_size: usize,
    options: *const c_void,
    ranges: *const Range,
    timers: *const c_void,
    streams: *const c_void,
    watches: *const c_void,
    posts: *const c_void,
    fields: *const Field,
    configure: Option<Callback>,
    start: Option<Start>,
    pause: Option<Callback>,
    resume: Option<Callback>,
    stop: Option<Callback>,
    destroy: Option<unsafe extern "C" fn(*mut Device)>,
}

#[repr(C)]
pub struct Registration {
    abi: u32,
    size: u32,
    plugin_size: u32,
    option_size: u32,
    range_size: u32,
    register_size: u32,
    timer_size: u32,
    stream_size: u32,
    watch_size: u32,
    post_size: u32,
    field_size: u32,
    acpi_size: u32,
    plugin: *const Plugin,
    needs: *const *const c_char,
}

/// Constant tables with pointers may be shared by threads.
struct Table<T>(T);
unsafe impl<T> Sync for Table<T> {}
unsafe impl Sync for Registration {}

macro_rules! text {
    ($text:expr) => {
        concat!($text, "\0").as_ptr() as *const c_char
    };
}
const NONE: *const c_void = std::ptr::null();
const NO_TEXT: *const c_char = std::ptr::null();

/// The state of a device. The host allocates it, zeroed.
#[repr(C)]
struct Adder {
    sum: u64,
}

unsafe extern "C" fn adder_start(dev: *mut Device, _start: *const c_void) -> c_int {
    let services = &*(*dev).services;

    (services.log)(dev, INFO, text!("adds in Rust"));
    0
}

unsafe extern "C" fn adder_read(dev: *mut Device, _access: *const Access, value: *mut u64) -> c_int {
    *value = (*((*dev).state as *const Adder)).sum;
    0
}

unsafe extern "C" fn adder_write(dev: *mut Device, _access: *const Access, value: u64) -> c_int {
    let adder = &mut *((*dev).state as *mut Adder);

    adder.sum = adder.sum.wrapping_add(value);
    0
}

/// The row of zeros is MINIVMM_END.
static RANGES: Table<[Range; 2]> = Table([
    Range {
        space: PIO,
        flags: 0,
        at: text!("port"),
        at_initial: text!("0x80"),
        length: 2,
        length_option: NO_TEXT,
        widths: W8 | W16,
        read: Some(adder_read),
        write: Some(adder_write),
        registers: NONE,
        help: text!("adds what is written"),
    },
    Range {
        space: 0,
        flags: 0,
        at: NO_TEXT,
        at_initial: NO_TEXT,
        length: 0,
        length_option: NO_TEXT,
        widths: 0,
        read: None,
        write: None,
        registers: NONE,
        help: NO_TEXT,
    },
]);

const fn field(name: *const c_char, kind: u32, help: *const c_char) -> Field {
    Field {
        name,
        kind,
        offset: 0,
        count: 0,
        flags: 0,
        counter_offset: 0,
        counter_type: 0,
        initial: 0,
        max: 0,
        since: 0,
        help,
    }
}

static FIELDS: Table<[Field; 2]> =
    Table([field(text!("sum"), U64, text!("of all that was written")), field(NO_TEXT, 0, NO_TEXT)]);

static PLUGIN: Table<Plugin> = Table(Plugin {
    name: text!("adder"),
    summary: text!("adds what the guest writes"),
    state_version: 1,
    flags: 0,
    state_size: std::mem::size_of::<Adder>(),
    options: NONE,
    ranges: &RANGES.0 as *const Range,
    timers: NONE,
    streams: NONE,
    watches: NONE,
    posts: NONE,
    fields: &FIELDS.0 as *const Field,
    configure: None,
    start: Some(adder_start),
    pause: None,
    resume: None,
    stop: None,
    destroy: None,
});

/// The one symbol that a plugin exports.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static minivmm_registration: Registration = Registration {
    abi: ABI,
    size: std::mem::size_of::<Registration>() as u32,
    plugin_size: std::mem::size_of::<Plugin>() as u32,
    option_size: 0,
    range_size: std::mem::size_of::<Range>() as u32,
    register_size: 0,
    timer_size: 0,
    stream_size: 0,
    watch_size: 0,
    post_size: 0,
    field_size: std::mem::size_of::<Field>() as u32,
    acpi_size: 0,
    plugin: &PLUGIN.0,
    needs: std::ptr::null(),
};
