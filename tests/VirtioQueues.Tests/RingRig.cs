using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Tests;

/// <summary>One ring with both of its sides, over memory of its own.</summary>
internal sealed class RingRig<TRing, TDriver> : IDisposable
    where TRing : struct, IRing<TRing>
    where TDriver : struct, IDriverRing<TDriver>
{
    public const ulong AllFeatures = VirtioFeatures.Version1 | VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx;

    /// <summary>A field, since a driver is a mutable struct.</summary>
    public TDriver Driver;

    public RingRig(
        int size, ulong features = AllFeatures, QueueState? start = null, int indirectEntries = 0, bool inOrderDevice = false, ulong memoryBytes = 8 << 20)
    {
        if (Packed)
        {
            features |= VirtioFeatures.RingPacked;
        }

        Memory = new TestMemory(memoryBytes);
        GuestAddress at = Memory.Allocate(DriverRingConfig.BytesNeeded(size, features, indirectEntries), 4096);
        Layout = DriverRingConfig.Lay(Memory.Table, at, size, features, indirectEntries) with { Start = start };
        Config = Layout.ToQueueConfig() with { CompletesInOrderWithoutWriting = inOrderDevice };
        Driver = TDriver.Open(Layout);
        Queue = new Virtqueue<TRing>(Config, Memory.Table) { Enabled = true };
        Data = Memory.Allocate(4096, 4096);
    }

    public static bool Packed => typeof(TRing) == typeof(PackedRing);

    public TestMemory Memory { get; }

    public DriverRingConfig Layout { get; }

    public QueueConfig Config { get; }

    public Virtqueue<TRing> Queue { get; set; }

    /// <summary>A page for whoever needs just some address.</summary>
    public GuestAddress Data { get; }

    public DriverBuffer Buffer(uint lengthBytes = 64) => new(Data, lengthBytes);

    /// <summary>Adds a chain of one readable buffer.</summary>
    public bool Send(ushort cookie, uint lengthBytes = 64) => Driver.TryAdd([Buffer(lengthBytes)], 1, cookie);

    /// <summary>Adds a chain of one writable buffer.</summary>
    public bool Offer(ushort cookie, uint lengthBytes = 64) => Driver.TryAdd([Buffer(lengthBytes)], 0, cookie);

    /// <summary>Takes whatever is there, up to <paramref name="max"/>, completes it in order, publishes.</summary>
    public int Serve(int max = 64, uint writtenBytes = 0)
    {
        int count = Math.Min(Queue.Fill(max), max);
        for (int i = 0; i < count; i++)
        {
            Queue.Complete(Queue.Peek(i).Token, writtenBytes);
        }

        Queue.Consume(count);
        Queue.Publish();
        return count;
    }

    public void Dispose()
    {
        Queue.Dispose();
        Memory.Dispose();
    }
}
