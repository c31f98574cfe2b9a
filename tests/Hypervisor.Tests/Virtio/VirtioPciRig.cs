using System.Diagnostics;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Tests.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>A virtio-pci device on a bus, and a driver's hands.</summary>
internal sealed class VirtioPciRig : PciRig
{
    public const byte Acknowledge = 1, Driver = 2, DriverOk = 4, FeaturesOk = 8, NeedsReset = 0x40, Failed = 0x80;

    public VirtioPciRig(FakeFunction? function = null)
    {
        Function = function ?? new FakeFunction();
        Pci = new VirtioPci("test", Function, Interrupts, Doorbells, Forwarder);
        Assert.True(Bus.TryAdd(Pci, out int slot));
        Slot = slot;
        Bar = Bar64(slot);
        SetEcam(slot, PciConfig.Command, PciConfig.CommandMemory | PciConfig.CommandMaster, 2);
    }

    public FakeFunction Function { get; }

    public FakeDoorbells Doorbells { get; } = new();

    public InterruptForwarder Forwarder { get; } = new();

    public VirtioPci Pci { get; }

    public int Slot { get; }

    public ulong Bar { get; set; }

    public int Gsi => IntxLines.GsiOf(Slot);

    public byte Status
    {
        get => (byte)Common(20, 1);
        set => SetCommon(20, value, 1);
    }

    /// <summary>Status, read wherever the BAR may be.</summary>
    public byte StatusAnywhere()
    {
        Span<byte> data = stackalloc byte[1];
        Pci.Read(20, data);
        return data[0];
    }

    /// <summary>Offset of a capability in configuration space; 0 when there is none.</summary>
    public int Capability(byte id, byte type = 0)
    {
        for (int at = (int)Ecam(Slot, PciConfig.CapabilityPointer, 1); at != 0; at = (int)Ecam(Slot, at + 1, 1))
        {
            if ((byte)Ecam(Slot, at, 1) == id && (type == 0 || (byte)Ecam(Slot, at + 3, 1) == type))
            {
                return at;
            }
        }

        return 0;
    }

    public ulong Common(int offset, int lengthBytes) => Memory(Bar + (uint)offset, lengthBytes);

    public void SetCommon(int offset, ulong value, int lengthBytes) => SetMemory(Bar + (uint)offset, value, lengthBytes);

    public ulong Offered()
    {
        SetCommon(0, 1, 4);
        ulong high = Common(4, 4);
        SetCommon(0, 0, 4);
        return Common(4, 4) | (high << 32);
    }

    public void Accept(ulong features)
    {
        SetCommon(8, 0, 4);
        SetCommon(12, features, 4);
        SetCommon(8, 1, 4);
        SetCommon(12, features >> 32, 4);
    }

    public void EnableMsiX(bool on = true) => SetEcam(Slot, Capability(PciConfig.MsiXCapability) + 2, on ? MsiX.ControlEnable : 0u, 2);

    public static MsiMessage Message(int vector) => new(0xFEE0_0000, 0, 0x4000 + (uint)vector);

    public ulong TableEntry(int vector) => Bar + (Ecam(Slot, Capability(PciConfig.MsiXCapability) + 4) & ~7UL) + (16 * (uint)vector);

    public ulong Pending => Memory(Bar + (Ecam(Slot, Capability(PciConfig.MsiXCapability) + 8) & ~7UL), 8);

    public void Unmask(int vector)
    {
        SetMemory(TableEntry(vector), Message(vector).AddressLow, 8);
        SetMemory(TableEntry(vector) + 8, Message(vector).Data, 4);
        SetMemory(TableEntry(vector) + 12, 0, 4);
    }

    public void Mask(int vector) => SetMemory(TableEntry(vector) + 12, 1, 4);

    public void SetUpQueue(int queue, ushort? vector)
    {
        SetCommon(22, (uint)queue, 2);
        SetCommon(24, 128, 2);
        SetCommon(26, vector ?? 0xFFFF, 2);
        SetCommon(32, 0x10_0000 + ((uint)queue * 0x10000), 8);
        SetCommon(40, 0x10_4000 + ((uint)queue * 0x10000), 4);
        SetCommon(44, 0x1, 4);
        SetCommon(48, 0x10_8000 + ((uint)queue * 0x10000), 8);
        SetCommon(28, 1, 2);
    }

    /// <summary>The way of a driver up to DRIVER_OK: configuration on vector 0, queue n on n + 1.</summary>
    public void Start(bool msiX = true, ulong features = VirtioFeatures.Version1 | VirtioFeatures.RingReset | 1)
    {
        Status = 0;
        Status = Acknowledge;
        Status = Acknowledge | Driver;
        Accept(features);
        Status = Acknowledge | Driver | FeaturesOk;
        Assert.NotEqual(0, Status & FeaturesOk);
        if (msiX)
        {
            EnableMsiX();
            SetCommon(16, 0, 2);
            Unmask(0);
        }

        for (int i = 0; i < Function.QueueCount; i++)
        {
            SetUpQueue(i, msiX ? (ushort)(i + 1) : null);
            if (msiX)
            {
                Unmask(i + 1);
            }
        }

        Status = Acknowledge | Driver | FeaturesOk | DriverOk;
    }

    public ulong NotifyAddress(int queue) => Bar + VirtioPciLayout.Notify + ((uint)queue * VirtioPciLayout.NotifyMultiplier);

    public static void Eventually(Func<bool> holds, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!holds())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(10), what);
            Thread.Sleep(1);
        }
    }

    public override void Dispose()
    {
        bool removed = false;
        Bus.Removed += (_, _) => Volatile.Write(ref removed, true);
        if (Bus.At(Slot) is not null)
        {
            Bus.Remove(Slot);
            while (Function.HasStopsDue)
            {
                Function.Complete();
            }

            Eventually(() => Volatile.Read(ref removed), "a removed device stops");
            Assert.Equal(0, Doorbells.Count);
            Assert.Equal(0, Interrupts.GsisTaken);
            Assert.Equal(0, Interrupts.AttachedCount);
            Assert.Equal(0, Windows.Count);
            Assert.False(Function.IsListenedTo);
        }

        Forwarder.Dispose();
        Function.Dispose();
        base.Dispose();
    }
}
