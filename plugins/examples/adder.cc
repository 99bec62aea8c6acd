/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device in C++17: a port adds what the guest writes, and a read returns the sum. Build it with:
 * c++ -std=c++17 -O2 -fPIC -shared -o adder.so adder.cc
 */
#include <minivmm/plugin.h>

namespace
{
struct adder {
	uint64_t sum;
};

adder &
state(minivmm_device *dev)
{
	return *static_cast<adder *>(minivmm_state(dev));
}

int
adder_start(minivmm_device *dev, const minivmm_start *)
{
	minivmm_log(dev, MINIVMM_INFO, "adds in C++");
	return 0;
}

int
adder_read(minivmm_device *dev, const minivmm_access *, uint64_t *value)
{
	*value = state(dev).sum;
	return 0;
}

int
adder_write(minivmm_device *dev, const minivmm_access *, uint64_t value)
{
	state(dev).sum += value;
	return 0;
}

constexpr minivmm_range
port()
{
	minivmm_range range{};

	range.space = MINIVMM_PIO;
	range.at = "port";
	range.at_initial = "0x80";
	range.length = 2;
	range.widths = MINIVMM_W8 | MINIVMM_W16;
	range.read = adder_read;
	range.write = adder_write;
	range.help = "adds what is written";
	return range;
}
const minivmm_range ranges[] = { port(), MINIVMM_END };

const minivmm_field fields[] = {
	MINIVMM_FIELD(adder, sum, .help = "of all that was written"),
	MINIVMM_END,
};

constexpr minivmm_plugin
descriptor()
{
	minivmm_plugin plugin{};

	plugin.name = "adder";
	plugin.summary = "adds what the guest writes";
	plugin.state_version = 1;
	plugin.state_size = sizeof(adder);
	plugin.ranges = ranges;
	plugin.fields = fields;
	plugin.start = adder_start;
	return plugin;
}
constexpr minivmm_plugin plugin = descriptor();
} // namespace

MINIVMM_REGISTER(plugin);
