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

    /// <summary>Builds the verb.</summary>
    public static Command Create()
    {
        var command = new Command("run", "Boot a Linux guest on KVM, each of its disks and NICs served by a process of its own. On a terminal Ctrl-A X ends it");
        Option<string> kernel = new("--kernel") { Description = "Kernel: bzImage or ELF, such as /boot/vmlinuz", HelpName = "PATH", Required = true };
        Option<string?> initrd = new("--initrd") { Description = "Initial RAM disk", HelpName = "PATH" };
        Option<string?> append = new("--append") { Description = "Words for the kernel's command line, such as 'root=/dev/vda quiet'", HelpName = "TEXT" };
        Option<ulong> memory = Options.Size("--memory", "Memory, such as 2G", 512 << 20);
        Option<int> cpus = Options.Number("--cpus", "Number of vCPUs", 1, 1, 64);
        Option<string[]> disk = Devices("--disk", "A disk, such as path=disk.img,readonly=on (or ram=SIZE, null=SIZE); may be repeated");
        Option<string[]> net = Devices("--net", "A NIC, such as tap:vm0,mac=52:54:00:12:34:56 (or loop, drop, source); may be repeated");
        Option<string[]> vhostUser = Devices("--vhost-user", "A device of a back-end that runs already, such as type=blk,path=SOCKET; may be repeated");
        Option<string> transport = Options.Word("--transport", "How the guest reaches its devices", "pci", "mmio");
        Option<string?> console = new("--console") { Description = "File for the serial console, instead of this terminal", HelpName = "PATH" };
        Option<string?> control = new("--control") { Description = "Socket for 'paravane ctl'", HelpName = "PATH" };
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
            ulong memoryBytes = parsed.GetValue(memory);
            if (memoryBytes is < LeastMemory or > MachineMemory.MaxSizeBytes)
            {
                throw new UsageException($"--memory={memoryBytes}: from {LeastMemory >> 20}M to {MachineMemory.MaxSizeBytes >> 30}G are possible");
            }

            // In the order of the command line among their kind; the kinds one after the other.
            List<DeviceOptions> devices =
            [
                .. (parsed.GetValue(disk) ?? []).Select(DiskOptions.Parse),
                .. (parsed.GetValue(net) ?? []).Select(NetOptions.Parse),
                .. (parsed.GetValue(vhostUser) ?? []).Select(SocketOptions.Parse),
            ];
            return Execute(new MachineOptions
            {
                KernelPath = parsed.GetRequiredValue(kernel),
                InitrdPath = parsed.GetValue(initrd),
                Append = parsed.GetValue(append),
                Pvh = parsed.GetValue(pvh),
                MemoryBytes = memoryBytes,
                HugePages = parsed.GetValue(hugePages),
                Prefault = parsed.GetValue(prefault),
                Cpus = parsed.GetValue(cpus),
                Devices = devices,
                Transport = parsed.GetValue(transport) == "mmio" ? Transport.Mmio : Transport.Pci,
                ConsolePath = parsed.GetValue(console),
                ControlPath = parsed.GetValue(control),
                EndOnReset = parsed.GetValue(endOnReset),
            });
        }));
        return command;
    }

    private static int Execute(MachineOptions options)
    {
        using var machine = new VirtualMachine(options, line => Verb.Say("run", line));
        int signals = 0;
        void OnSignal(PosixSignalContext context)
        {
            // The first one asks the guest, the second one does not.
            context.Cancel = true;
            if (Interlocked.Increment(ref signals) == 1)
            {
                machine.PressPowerButton();
            }
            else
            {
                machine.Quit();
            }
        }

        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal);
        ControlServer? control = options.ControlPath is null ? null : new ControlServer(machine, options.ControlPath);
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
