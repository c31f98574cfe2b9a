using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Machine;
using Paravane.Hypervisor.Tests.Boot;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;

namespace Paravane.Hypervisor.Tests.Machine;

/// <summary>What a machine checks before anything runs.</summary>
public sealed class VirtualMachineTests
{
    [Theory, InlineData(39), InlineData(40), InlineData(52)]
    public void A_processor_that_can_name_the_addresses_of_PCI_devices_will_do(int bits) => VirtualMachine.RequireAddresses(bits);

    [Theory, InlineData(36), InlineData(38)]
    public void A_processor_with_narrow_addresses_is_refused_for_PCI_and_told_what_works(int bits)
    {
        string message = Assert.Throws<MachineException>(() => VirtualMachine.RequireAddresses(bits)).Message;
        Assert.Contains($"{bits} bits", message, StringComparison.Ordinal);
        Assert.Contains("39", message, StringComparison.Ordinal);
        Assert.Contains("--transport=mmio", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("kernel", "larger than the guest's memory")]
    [InlineData("initrd", "does not fit")]
    [InlineData("command line", "takes at most 2047")]
    [InlineData("entry", "has no PVH entry point")]
    public void What_does_not_fit_is_refused_before_any_worker_is_started(string what, string expected)
    {
        using var kernel = new TestFile(TestKernel.BzImage(TestKernel.Lz4(TestKernel.Elf()), what == "kernel" ? file => file[SetupHeader.InitBytes + 3] = 0x40 : null));
        using var plain = new TestFile(TestKernel.Elf(pvh: false));
        using var initrd = new TestFile(new byte[40 << 20]);
        var worker = new Forbidden();
        var options = new MachineOptions
        {
            KernelPath = what == "entry" ? plain.Path : kernel.Path,
            InitrdPath = what == "initrd" ? initrd.Path : null,
            Append = what == "command line" ? new string('x', 2048) : null,
            Pvh = what == "entry",
            MemoryBytes = 32 << 20,
            Devices = [worker],
        };
        string message = Assert.Throws<BootException>(() => new VirtualMachine(options, _ => { })).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.False(worker.WasStarted);
    }

    [Theory]
    [InlineData(Transport.Pci, 32, "32 devices: the PCI bus has slots for 31")]
    [InlineData(Transport.Mmio, 18, "18 devices: --transport=mmio has interrupts for 17")]
    internal void More_devices_than_places_are_refused_before_any_worker_is_started(Transport transport, int devices, string expected)
    {
        var worker = new Forbidden();
        var options = new MachineOptions { KernelPath = "/nowhere", MemoryBytes = 32 << 20, Transport = transport, Devices = [.. Enumerable.Repeat(worker, devices)] };
        Assert.Equal(expected, Assert.Throws<MachineException>(() => new VirtualMachine(options, _ => { })).Message);
        Assert.False(worker.WasStarted);
    }

    /// <summary>A device whose worker must not be started.</summary>
    private sealed record Forbidden : DeviceOptions
    {
        public override string Kind => "none";

        public bool WasStarted { get; private set; }

        protected override VhostUserOptions Describe(string name, int cpus) => new() { Name = name, DeviceId = VhostUserOptions.BlockDevice };

        protected override IBackEnd NewBackEnd(int cpus, Action<string> log)
        {
            WasStarted = true;
            throw new IOException("it was started all the same");
        }
    }
}
