using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VirtioQueues.Tests;

/// <summary>Guest memory of one region over a memfd, with a cursor that hands pieces of it out.</summary>
internal sealed unsafe class TestMemory : IDisposable
{
    public const ulong Base = 0x10_0000;

    private ulong _next = Base;

    public TestMemory(ulong sizeBytes = 1 << 20)
    {
        SizeBytes = sizeBytes;
        using MemFd file = MemFd.Create("ring-test", sizeBytes);
        Table = GuestMemory.Of([GuestRegion.Map(new GuestAddress(Base), new UserAddress(0x7000_0000), sizeBytes, file, 0)]);
    }

    public GuestMemory Table { get; }

    public ulong SizeBytes { get; }

    /// <summary>Host pointer of a guest address; the caller promises that it is inside.</summary>
    public byte* this[GuestAddress address] => Table.Regions[0].Host + (address.Value - Base);

    public GuestAddress Allocate(ulong bytes, ulong alignment = 128)
    {
        ulong at = (_next + alignment - 1) & ~(alignment - 1);
        _next = at + bytes;
        Assert.True(_next <= Base + SizeBytes, "test memory is too small");
        return new GuestAddress(at);
    }

    public Span<byte> Bytes(GuestAddress address, int lengthBytes) => new(this[address], lengthBytes);

    public void Dispose() => Table.Release();
}
