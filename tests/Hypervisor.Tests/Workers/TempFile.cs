namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>A file of zeroes that goes away with its test.</summary>
internal sealed class TempFile : IDisposable
{
    public TempFile(long lengthBytes)
    {
        using FileStream file = File.Create(Path);
        file.SetLength(lengthBytes);
    }

    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"paravane-{Guid.NewGuid():n}.img");

    public void Dispose() => File.Delete(Path);
}
