namespace Paravane.Backends.Block.Tests;

/// <summary>An image file of its own, gone at the end.</summary>
internal sealed class TempImage : IDisposable
{
    public TempImage(long lengthBytes, bool inMemory = false)
    {
        Path = System.IO.Path.Combine(inMemory ? "/dev/shm" : System.IO.Path.GetTempPath(), $"paravane-blk-test-{Guid.NewGuid():n}");
        using FileStream file = File.Create(Path);
        file.SetLength(lengthBytes);
    }

    public string Path { get; }

    public byte[] Bytes() => File.ReadAllBytes(Path);

    public void Dispose() => File.Delete(Path);
}
