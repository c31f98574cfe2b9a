using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Tests.Kvm;

/// <summary>A device of some bytes that remembers each access as text: «W 0+4».</summary>
internal sealed class BusRecorder(int sizeBytes) : IBusDevice
{
    public byte[] Content { get; } = new byte[sizeBytes];

    public List<string> Accesses { get; } = [];

    public void Read(ulong offset, Span<byte> data)
    {
        lock (Accesses)
        {
            Accesses.Add($"R {offset}+{data.Length}");
            Content.AsSpan((int)offset, data.Length).CopyTo(data);
        }
    }

    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        lock (Accesses)
        {
            Accesses.Add($"W {offset}+{data.Length}");
            data.CopyTo(Content.AsSpan((int)offset));
        }
    }
}
