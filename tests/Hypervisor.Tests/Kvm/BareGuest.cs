using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>A machine of 2 MiB on the host's KVM for a few instructions. A write to port 0xF4 ends the run and tells a value.</summary>
internal sealed class BareGuest : IDisposable, IBusDevice
{
    /// <summary>Where code begins.</summary>
    public const ulong Entry = 0x10_0000;

    /// <summary>Free memory for the guest.</summary>
    public const ulong Scratch = 0x18_0000;

    /// <summary>Memory that is no RAM.</summary>
    public const ulong Window = 0xD000_0000;

    /// <summary>The port that ends the run.</summary>
    public const byte ExitPort = 0xF4;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    private readonly KvmSystem _system;
    private readonly ManualResetEventSlim _stopped = new();

    public BareGuest(int vcpus = 1)
    {
        _system = OpenKvm();
        Vm = KvmVm.Create(_system);
        Ram = MachineMemory.Create(MachineMemory.Granule);
        Vm.AddMemory(Ram.Banks[0]);
        Ports.Add(ExitPort, 1, this, "exit");
        Vcpus = VcpuGroup.Create(Vm, Ram, vcpus, Ports, Memory, _ => _stopped.Set());
    }

    public KvmVm Vm { get; }

    public MachineMemory Ram { get; }

    public AddressBus Ports { get; } = new();

    public AddressBus Memory { get; } = new();

    public VcpuGroup Vcpus { get; }

    /// <summary>What was last written to the exit port.</summary>
    public int ExitValue { get; private set; } = -1;

    /// <summary>Skips the test where there is no KVM, saying why.</summary>
    public static KvmSystem OpenKvm()
    {
        try
        {
            return KvmSystem.Open();
        }
        catch (KvmException problem)
        {
            Assert.Skip($"{problem.Message} (KvmTests run it on an emulated host's)");
            throw;
        }
    }

    /// <summary>Puts code into memory.</summary>
    public void Load(CodeWriter code, ulong at = Entry) => Write(at, code.Finish());

    public void Write(ulong address, ReadOnlySpan<byte> bytes) => Assert.True(Ram.Table.TryWrite(new GuestAddress(address), bytes));

    public byte[] Read(ulong address, int lengthBytes)
    {
        byte[] bytes = new byte[lengthBytes];
        Assert.True(Ram.Table.TryRead(new GuestAddress(address), bytes));
        return bytes;
    }

    public ulong ReadWord(ulong address) => BitConverter.ToUInt64(Read(address, 8));

    public void Start(CodeWriter code, BootMode mode = BootMode.LongUser, ulong parameter = 0)
    {
        Load(code);
        Vcpus.Start(new BootState(mode, Entry, parameter));
    }

    /// <summary>Another run of the same machine.</summary>
    public void Restart(CodeWriter code, BootMode mode = BootMode.LongUser)
    {
        Vcpus.Pause();
        _stopped.Reset();
        ExitValue = -1;
        Load(code);
        Vcpus.Reset(new BootState(mode, Entry, 0));
        Vcpus.Resume();
    }

    /// <summary>Waits for the end of the run.</summary>
    public VmStop Wait()
    {
        Assert.True(_stopped.Wait(s_limit), "the guest did not end its run");
        return Vcpus.Stopped!;
    }

    /// <summary>Starts and waits for an end by the exit port.</summary>
    /// <returns>The value written there.</returns>
    public int Run(CodeWriter code, BootMode mode = BootMode.LongUser)
    {
        Start(code, mode);
        Assert.Equal(new VmStop(VmStopKind.PowerOff, "exit port"), Wait());
        return ExitValue;
    }

    void IBusDevice.Read(ulong offset, Span<byte> data) => data.Fill(0xFF);

    void IBusDevice.Write(ulong offset, ReadOnlySpan<byte> data)
    {
        ExitValue = data[0];
        Vcpus.RequestStop(VmStopKind.PowerOff, "exit port");
    }

    public void Dispose()
    {
        Vcpus.Dispose();
        Vm.Dispose();
        _system.Dispose();
        Ram.Dispose();
        _stopped.Dispose();
    }
}
