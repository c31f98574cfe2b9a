using System.Text.Json;
using Paravane.Hypervisor.Machine;
using Paravane.Hypervisor.Workers;
using Paravane.VhostServer.Hosting;
using UsageException = Paravane.Hypervisor.Verbs.UsageException;

namespace Paravane.Hypervisor.Control;

/// <summary>What can be asked of a running machine. One line of JSON each: <c>{"command":"add-disk","argument":"path=disk.img"}</c>.</summary>
internal static class ControlCommands
{
    /// <summary>All of them, as <c>paravane ctl --help</c> lists them.</summary>
    public static IReadOnlyList<ControlCommand> All { get; } =
    [
        new("status", null, "State, size and devices", (machine, _, json) => machine.WriteStatus(json)),
        new("metrics", null, "Counters: exits by reason and device, restarts of back-ends, phases of the start", (machine, _, json) => machine.WriteMetrics(json)),
        new("pause", null, "Stop the vCPUs, then all queues", (machine, _, _) => machine.Pause()),
        new("resume", null, "Go on after a pause", (machine, _, _) => machine.Resume()),
        new("power-button", null, "Press the power button", (machine, _, _) => machine.PressPowerButton()),
        new("quit", null, "End the machine at once", (machine, _, _) => machine.Quit()),
        new("add-disk", "KEY=VALUE,…", "Add a disk, as --disk of 'run'", (machine, text, json) => Add(machine, DiskOptions.Parse(text), json)),
        new("add-net", "KEY=VALUE,…", "Add a NIC, as --net of 'run'", (machine, text, json) => Add(machine, NetOptions.Parse(text), json)),
        new("add-vhost-user", "KEY=VALUE,…", "Add a device of a running back-end, as --vhost-user of 'run'", (machine, text, json) => Add(machine, SocketOptions.Parse(text), json)),
        new("remove", "NAME", "Ask the guest to let a device go; it is taken away when the guest has done so", (machine, name, _) => machine.RemoveDevice(name, force: false)),
        new("force-remove", "NAME", "Take a device away without asking the guest", (machine, name, _) => machine.RemoveDevice(name, force: true)),
        new("add-memory", "SIZE", "Add memory, in multiples of 128M", (machine, text, _) => machine.AddMemory(Size(text))),
    ];

    private static void Add(VirtualMachine machine, DeviceOptions options, Utf8JsonWriter json) => json.WriteString("name", machine.AddDevice(options));

    private static ulong Size(string text) =>
        ByteSize.TryParse(text, out ulong bytes) ? bytes : throw new UsageException($"add-memory: '{text}' is not a size such as 128M or 1G");
}
