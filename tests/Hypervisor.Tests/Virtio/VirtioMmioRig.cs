using System.Buffers.Binary;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Tests.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>A virtio-mmio device, and a driver's hands.</summary>
internal sealed class VirtioMmioRig : IDisposable
{
    public const int Gsi = 10;

    private const ulong Address = AddressMap.VirtioMmio;

    public VirtioMmioRig(FakeFunction? function = null)
    {
        Function = function ?? new FakeFunction { StopsBySelf = true };
        Mmio = new VirtioMmio(Function, Address, Gsi, Interrupts, Doorbells);
    }

    public FakeInterrupts Interrupts { get; } = new();

    public FakeDoorbells Doorbells { get; } = new();

    public FakeFunction Function { get; }

    public VirtioMmio Mmio { get; }

    public uint this[int register]
    {
        get
        {
            Span<byte> data = stackalloc byte[4];
            Mmio.Read((uint)register, data);
            return BinaryPrimitives.ReadUInt32LittleEndian(data);
        }

        set
        {
            Span<byte> data = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32LittleEndian(data, value);
            Mmio.Write((uint)register, data);
        }
    }

    public bool Notify(uint queue) => Doorbells.Ring(Address + 0x50, 4, queue);

    public void SetUpQueue(uint queue)
    {
        this[0x30] = queue;
        this[0x38] = 64;
        this[0x80] = 0x20_0000 + (queue * 0x10000);
        this[0x84] = 0;
        this[0x90] = 0x20_4000 + (queue * 0x10000);
        this[0x94] = 1;
        this[0xA0] = 0x20_8000 + (queue * 0x10000);
        this[0xA4] = 2;
        this[0x44] = 1;
    }

    public void Start(ulong features = VirtioFeatures.Version1 | VirtioFeatures.RingReset)
    {
        this[0x70] = 0;
        this[0x70] = 1;
        this[0x70] = 3;
        this[0x24] = 0;
        this[0x20] = (uint)features;
        this[0x24] = 1;
        this[0x20] = (uint)(features >> 32);
        this[0x70] = 11;
        Assert.Equal(11u, this[0x70]);
        for (uint i = 0; i < Function.QueueCount; i++)
        {
            SetUpQueue(i);
        }

        this[0x70] = 15;
    }

    public void Dispose()
    {
        using var done = new ManualResetEventSlim();
        Mmio.Reset(done.Set);
        while (Function.HasStopsDue)
        {
            Function.Complete();
        }

        Assert.True(done.Wait(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken));
        Mmio.Dispose();
        Assert.Equal(0, Doorbells.Count);
        Assert.Equal(0, Interrupts.AttachedCount);
        Assert.Empty(Interrupts.Violations);
        Assert.False(Function.IsListenedTo);
        Interrupts.Dispose();
        Function.Dispose();
    }
}
