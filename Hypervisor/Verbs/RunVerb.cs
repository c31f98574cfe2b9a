using System.CommandLine;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Control;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Machine;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Workers;

namespace Paravane.Hypervisor.Verbs;

/// <summary><c>paravane run</c>: boot a guest on KVM.</summary>
internal static class RunVerb
{
    private const ulong LeastMemory = 32UL << 20;
    private const string CommaRule = ". A comma in a value is written twice";

    /// <summary>Builds the verb.</summary>
    public static Command Create()
    {
        var command = new Command("run", "Boot a Linux guest on KVM, each of its disks and NICs served by a process of its own. On a terminal Ctrl-A X ends it");
        Option<string> kernel = new("--kernel") { Description = "Kernel: bzImage or ELF, such as /boot/vmlinuz", HelpName = "PATH", Required = true };
        Option<string?> initrd = new("--initrd") { Description = "Initial RAM disk, such as /boot/initrd.img", HelpName = "PATH" };
        Option<string?> append = new("--append") { Description = "Words for the kernel's command line, such as 'root=/dev/vda quiet'", HelpName = "TEXT" };
        Option<ByteCount> memory = Options.Size("--memory", "Memory, such as 2G", 512 << 20);
        Option<int> cpus = Options.Number("--cpus", "Number of vCPUs, such as 4", 1, 1, 64);
        Option<string[]> disk = Devices("--disk", "A disk, such as path=disk.img,readonly=on; may be repeated. "
            + "Keys: path, ram or null; readonly, serial, direct, logical-block-size, workers, poll, cpus, num-queues, queue-size, id" + CommaRule);
        Option<string[]> net = Devices("--net", "A NIC, such as tap:vm0,mac=52:54:00:12:34:56; may be repeated. "
            + "First tap:NAME, loop, drop or source. Keys: mac, mtu, frame-size, workers, poll, cpus, queue-pairs, queue-size, id" + CommaRule);
        Option<string[]> vhostUser = Devices("--vhost-user", "A device of a back-end that runs already, such as type=blk,path=SOCKET; may be repeated. "
            + "Keys: type, path, num-queues, queue-size, config, config-size, id; with type=net queue-pairs in place of num-queues, and mac, mtu" + CommaRule);
        Option<string> transport = Options.Word("--transport", "How the guest reaches its devices: pci knows several interrupts and hot plug, mmio is the simplest", "pci", "mmio");
        Option<string?> console = new("--console") { Description = "File for the serial console, instead of this terminal, such as console.log", HelpName = "PATH" };
        Option<string?> control = new("--control") { Description = "Socket for 'paravane ctl', such as /run/vm0.control", HelpName = "PATH" };
        Option<bool> hugePages = Options.Flag("--huge-pages", "Back memory with huge pages of 2M; enough must be reserved");
        Option<bool> prefault = Options.Flag("--prefault", "Make all memory present before the start");
        Option<bool> pvh = Options.Flag("--pvh", "Enter the kernel by PVH");
        Option<bool> endOnReset = Options.Flag("--no-reboot", "End when the guest restarts");
        foreach (Option option in (Option[])[kernel, initrd, append, memory, cpus, disk, net, vhostUser, transport, console, control, hugePages, prefault, pvh, endOnReset])
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed => Verb.Run("run", _ =>
        {
            ByteCount wanted = parsed.GetValue(memory);
            if (wanted.Bytes is < LeastMemory or > MachineMemory.MaxSizeBytes)
            {
                throw new UsageException($"--memory={wanted}: from {new ByteCount(LeastMemory)} to {new ByteCount(MachineMemory.MaxSizeBytes)} are possible");
            }

            string? controlPath = parsed.GetValue(control) is { } path ? OptionText.SocketPath(control.Name, path) : null;

            // In the order of the command line among their kind; the kinds one after the other.
            List<DeviceOptions> devices =
            [
                .. (parsed.GetValue(disk) ?? []).Select(DiskOptions.Parse),
                .. (parsed.GetValue(net) ?? []).Select(NetOptions.Parse),
                .. (parsed.GetValue(vhostUser) ?? []).Select(SocketOptions.Parse),
            ];
            string? twice = devices.Select(device => device.Id).OfType<string>().GroupBy(id => id).FirstOrDefault(group => group.Count() > 1)?.Key;
            if (twice is not null)
            {
                throw new UsageException($"id={twice} is given to two devices: each needs a name of its own");
            }

            return Execute(new MachineOptions
            {
                KernelPath = parsed.GetRequiredValue(kernel),
                InitrdPath = parsed.GetValue(initrd),
                Append = parsed.GetValue(append),
                Pvh = parsed.GetValue(pvh),
                MemoryBytes = wanted.Bytes,
                HugePages = parsed.GetValue(hugePages),
                Prefault = parsed.GetValue(prefault),
                Cpus = parsed.GetValue(cpus),
                Devices = devices,
                Transport = parsed.GetValue(transport) == "mmio" ? Transport.Mmio : Transport.Pci,
                ConsolePath = parsed.GetValue(console),
                ControlPath = controlPath,
                EndOnReset = parsed.GetValue(endOnReset),
            });
        }));
        return command;
    }

    private static int Execute(MachineOptions options)
    {
        VirtualMachine? running = null;
        int signals = 0;
        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            if (Volatile.Read(ref running) is not { } guest)
            {
                // There is no guest yet that could be asked, and nothing that the end of the process does not take along: workers go with their sockets.
                Environment.Exit(ExitCode.Success);
            }
            else if (Interlocked.Increment(ref signals) == 1)
            {
                guest.PressPowerButton();
            }
            else
            {
                guest.Quit();
            }
        }

        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal);
        using var machine = new VirtualMachine(options, line => Verb.Say("run", line));
        ControlServer? control = options.ControlPath is null ? null : new ControlServer(machine, options.ControlPath);
        Volatile.Write(ref running, machine);
        VmStop end;
        try
        {
            end = machine.Run();
        }
        finally
        {
            machine.Dispose(); // first: whoever waits for the machine over the socket hears of its end
            control?.Dispose();
        }

        return end.Kind is VmStopKind.PowerOff or VmStopKind.Reset ? ExitCode.Success : Verb.Fail("run", end.Reason, ExitCode.Failed);
    }

    private static Option<string[]> Devices(string name, string description) =>
        new(name) { Description = description, HelpName = "KEY=VALUE,…", AllowMultipleArgumentsPerToken = false };
}
