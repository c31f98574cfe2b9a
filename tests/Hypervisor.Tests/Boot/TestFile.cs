namespace Paravane.Hypervisor.Tests.Boot;

/// <summary>A file that is gone with the test.</summary>
internal sealed class TestFile : IDisposable
{
    public TestFile(byte[] contents)
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"paravane-boot-{Guid.NewGuid():N}");
        File.WriteAllBytes(Path, contents);
    }

    public string Path { get; }

    public void Dispose() => File.Delete(Path);
}
